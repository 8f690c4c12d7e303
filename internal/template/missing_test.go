package template

import (
	"strings"
	"testing"
)

func TestMissing(t *testing.T) {
	root := map[string]any{"Input": map[string]any{"push": map[string]any{"data": map[string]any{"tag": "1", "none": nil}}}}
	for text, want := range map[string]string{
		"{{ .Input.push.data.tag }} and {{ .Input.push.data.none }}":         "",
		"{{ .Input.push.data.tga }} of {{ .Input.psuh.data.tag | upper }}":   ".Input.push.data.tga .Input.psuh.data.tag",
		"{{ .Input.push.data.tag.name }}":                                    ".Input.push.data.tag.name",
		`{{ .Input.push.data.x | default "y" }}{{ default "y" .Input.x.y }}`: "",
		"{{ if .Input.x }}{{ .Input.x.y }}{{ end }}":                         "",
	} {
		c, err := Compile("text", text)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.Missing(root), " "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
