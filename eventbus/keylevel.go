package eventbus

import "strings"

var levelEscaper = strings.NewReplacer("%", "%25", "/", "%2F")

// KeyLevel makes any name one level of a State key.
func KeyLevel(name string) string { return levelEscaper.Replace(name) }
