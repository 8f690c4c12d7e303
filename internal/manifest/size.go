package manifest

// Size reads the size that a field of an EventBus gives, such as 4MB or 64Mi,
// in bytes.
func Size(text string) (int64, error) { return parseSize(text) }
