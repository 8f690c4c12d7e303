package slack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// maxBlocks is Slack's limit for one message.
const maxBlocks = 50

// attachments reads the text of the field; nil if it is empty.
func attachments(text string) (json.RawMessage, error) {
	list, raw, err := objects(text, "attachments")
	if err != nil || list == nil {
		return nil, err
	}
	return raw, nil
}

// blocks reads the text of the field; nil if it is empty.
func blocks(text string) (json.RawMessage, error) {
	list, raw, err := objects(text, "blocks")
	if err != nil || list == nil {
		return nil, err
	}
	var errs []error
	if len(list) > maxBlocks {
		errs = append(errs, v1alpha1.Invalid("", "has %d blocks, and a message has at most %d", len(list), maxBlocks))
	}
	for i, b := range list {
		var kind string
		if json.Unmarshal(b["type"], &kind) != nil || kind == "" {
			errs = append(errs, v1alpha1.Invalid(v1alpha1.Index(i)+".type", "is required"))
		}
	}
	return raw, errors.Join(errs...)
}

// objects reads a list of objects. The JSON is kept as it was written, but for
// white space: what Slack adds to its format is not ours to drop.
func objects(text, field string) ([]map[string]json.RawMessage, json.RawMessage, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil, nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal([]byte(text), &items); err != nil {
		var whole map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &whole) == nil {
			p := v1alpha1.Invalid("", "is an object, not a list")
			if whole[field] != nil {
				p.Hinted("write only the list, without the key %s around it", field)
			}
			return nil, nil, p
		}
		return nil, nil, v1alpha1.Invalid("", "%s", place(text, err))
	}
	list := make([]map[string]json.RawMessage, len(items))
	var errs []error
	for i, item := range items {
		if err := json.Unmarshal(item, &list[i]); err != nil || list[i] == nil {
			errs = append(errs, v1alpha1.Invalid(v1alpha1.Index(i), "is no object"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	if len(list) == 0 {
		return nil, nil, nil
	}
	var raw bytes.Buffer
	if err := json.Compact(&raw, []byte(text)); err != nil {
		return nil, nil, v1alpha1.Invalid("", "%v", err)
	}
	return list, raw.Bytes(), nil
}

// place says what is wrong with a text that is no list in JSON, and where.
func place(text string, err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		before := text[:min(max(int(syntax.Offset)-1, 0), len(text))]
		line := 1 + strings.Count(before, "\n")
		column := len(before) - strings.LastIndexByte(before, '\n')
		return fmt.Sprintf("is no JSON, line %d, column %d: %v", line, column, err)
	}
	return "is no list in JSON"
}
