package gitrepo

// SetLimit sets how large an answer may be, in bytes.
func (r *Remote) SetLimit(n int64) { r.maxPack = n }
