package v1alpha1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Duration is a span of time as Argo Events writes it: a string is a Go
// duration ("10s", "3m"), a number is nanoseconds.
//
// +kubebuilder:validation:XIntOrString
// +kubebuilder:object:generate=false
type Duration struct {
	time.Duration
	// text is what the manifest had, so that it is written back unchanged.
	text string
}

// DurationOf makes a Duration of d.
func DurationOf(d time.Duration) *Duration { return &Duration{Duration: d} }

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if string(b) == "null" {
		return nil
	}
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		v, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is no duration: write a number with a unit, such as 10s or 1m30s", s)
		}
		*d = Duration{v, string(b)}
		return nil
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return fmt.Errorf("%s is no duration: write a number with a unit, such as \"10s\"", b)
	}
	*d = Duration{time.Duration(n), string(b)}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) {
	if d.text != "" {
		return []byte(d.text), nil
	}
	return json.Marshal(d.String())
}

// DeepCopy returns a copy.
func (d *Duration) DeepCopy() *Duration {
	if d == nil {
		return nil
	}
	c := *d
	return &c
}

// DeepCopyInto copies d to out.
func (d *Duration) DeepCopyInto(out *Duration) { *out = *d }

// Amount is a decimal number. A quoted number is read as well.
//
// +kubebuilder:validation:XPreserveUnknownFields
// +kubebuilder:validation:Schemaless
// +kubebuilder:object:generate=false
type Amount struct {
	Value float64
	text  string
}

// AmountOf makes an Amount of v.
func AmountOf(v float64) *Amount { return &Amount{Value: v} }

// UnmarshalJSON implements json.Unmarshaler.
func (a *Amount) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if string(b) == "null" {
		return nil
	}
	s := string(b)
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("%s is no number", b)
	}
	*a = Amount{v, string(b)}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (a Amount) MarshalJSON() ([]byte, error) {
	if a.text != "" {
		return []byte(a.text), nil
	}
	return json.Marshal(a.Value)
}

// DeepCopy returns a copy.
func (a *Amount) DeepCopy() *Amount {
	if a == nil {
		return nil
	}
	c := *a
	return &c
}

// DeepCopyInto copies a to out.
func (a *Amount) DeepCopyInto(out *Amount) { *out = *a }
