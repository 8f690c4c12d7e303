package manifest

import "encoding/json"

// Complete tells whether every file and every document could be read.
func (s *Set) Complete() bool { return len(s.unreadable) == 0 }

// MayHold tells whether o may still be in a part of its file, or of a folder
// around that, that could not be read.
func (s *Set) MayHold(o *Object) bool { return s.mayHave(o) }

// OtherVersion is the apiVersion of documents of our own that stand among
// manifests and are no objects of a cluster.
const OtherVersion = "signalbox.dev/v1alpha1"

// Other is a document of a kind that manifests may hold beside the objects
// that run, such as a SensorTest.
type Other struct {
	ID
	File string
	Line int
	// Raw is the document as JSON.
	Raw json.RawMessage
}

// Others returns the documents of such a kind, in the order they were read.
func (s *Set) Others(kind string) []Other {
	var of []Other
	for _, o := range s.others {
		if o.Kind == kind {
			of = append(of, o)
		}
	}
	return of
}
