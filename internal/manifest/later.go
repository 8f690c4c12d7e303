package manifest

import (
	_ "embed"
	"fmt"
	"reflect"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// laterText has the kinds of Argo Events that this version does not have, so
// that their manifests can be read and their misspelt keys found. A line moves
// out of it when the kind moves in.
//
// The fields of a kind are written as name:type, separated by spaces. A type is
// a word of laterTypes, the name of a block, {fields} or [type] for a list.
//
//go:embed later.tsv
var laterText string

// later are the kinds of laterText.
type later struct {
	sources, triggers map[string]laterKind
}

type laterKind struct {
	// config is made from the fields.
	config reflect.Type
	// dataKeys are the top-level keys of an event's data; empty means anything.
	dataKeys []string
}

// laterKinds is read once; nobody changes it.
var laterKinds = sync.OnceValue(func() later {
	l := later{sources: map[string]laterKind{}, triggers: map[string]laterKind{}}
	p := laterParser{types: laterTypes()}
	for line := range strings.Lines(laterText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		col := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(col) != 4 {
			panic(fmt.Sprintf("later.tsv: want 4 columns: %s", line))
		}
		k := laterKind{config: p.parse(col[3]), dataKeys: strings.Fields(col[2])}
		switch col[0] {
		case "block":
			p.types[col[1]] = k.config
		case "source":
			l.sources[col[1]] = k
		case "trigger":
			l.triggers[col[1]] = k
		}
	}
	return l
})

func laterTypes() map[string]reflect.Type {
	return map[string]reflect.Type{
		"string":       reflect.TypeFor[string](),
		"bool":         reflect.TypeFor[bool](),
		"int":          reflect.TypeFor[int64](),
		"map":          reflect.TypeFor[map[string]string](),
		"any":          reflect.TypeFor[any](),
		"amount":       reflect.TypeFor[v1alpha1.Amount](),
		"duration":     reflect.TypeFor[v1alpha1.Duration](),
		"time":         reflect.TypeFor[metav1.Time](),
		"secret":       reflect.TypeFor[corev1.SecretKeySelector](),
		"configmap":    reflect.TypeFor[corev1.ConfigMapKeySelector](),
		"backoff":      reflect.TypeFor[v1alpha1.Backoff](),
		"tls":          reflect.TypeFor[v1alpha1.TLSConfig](),
		"filter":       reflect.TypeFor[v1alpha1.EventSourceFilter](),
		"basicauth":    reflect.TypeFor[v1alpha1.BasicAuth](),
		"webhook":      reflect.TypeFor[v1alpha1.WebhookContext](),
		"parameter":    reflect.TypeFor[v1alpha1.TriggerParameter](),
		"secureheader": reflect.TypeFor[v1alpha1.SecureHeader](),
	}
}

// laterParser reads fields to a struct type, with which kind.Check checks them
// as it does those of any kind. A mistake in the text is a programmer's.
type laterParser struct {
	types map[string]reflect.Type
	rest  string
}

func (p *laterParser) parse(fields string) reflect.Type {
	p.rest = fields
	t := p.fields()
	if p.rest != "" {
		panic("later.tsv: cannot read " + p.rest)
	}
	return t
}

func (p *laterParser) fields() reflect.Type {
	var fs []reflect.StructField
	for {
		p.rest = strings.TrimLeft(p.rest, " ")
		i := strings.IndexAny(p.rest, ":}")
		if i < 0 || p.rest[i] == '}' {
			return reflect.StructOf(fs)
		}
		name := p.rest[:i]
		p.rest = p.rest[i+1:]
		fs = append(fs, reflect.StructField{
			Name: fmt.Sprintf("F%d", len(fs)),
			Type: p.typ(),
			Tag:  reflect.StructTag(`json:"` + name + `"`),
		})
	}
}

func (p *laterParser) typ() reflect.Type {
	switch {
	case strings.HasPrefix(p.rest, "{"):
		p.rest = p.rest[1:]
		t := p.fields()
		p.expect("}")
		return t
	case strings.HasPrefix(p.rest, "["):
		p.rest = p.rest[1:]
		t := reflect.SliceOf(p.typ())
		p.expect("]")
		return t
	}
	end := strings.IndexAny(p.rest+" ", " ]}")
	t, ok := p.types[p.rest[:end]]
	if !ok {
		panic("later.tsv: no type " + p.rest)
	}
	p.rest = p.rest[end:]
	return t
}

func (p *laterParser) expect(s string) {
	if !strings.HasPrefix(p.rest, s) {
		panic("later.tsv: want " + s + " at " + p.rest)
	}
	p.rest = p.rest[1:]
}
