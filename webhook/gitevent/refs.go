package gitevent

import (
	"slices"
	"strings"
)

const (
	heads = "refs/heads/"
	tags  = "refs/tags/"
)

// SetRef fills in Ref, Branch and Tag from a whole ref.
func (e *Event) SetRef(ref string) {
	e.Ref, e.Branch, e.Tag = ref, "", ""
	if name, ok := strings.CutPrefix(ref, heads); ok {
		e.Branch = name
	} else if name, ok := strings.CutPrefix(ref, tags); ok {
		e.Tag = name
	}
}

// SetPush makes e the push of a whole ref from one commit to another, either of
// which may be zeros or empty: Event, Action, Ref, Branch, Tag, Before, After, Created, Deleted.
func (e *Event) SetPush(ref, before, after string) {
	e.SetRef(ref)
	e.Event = Push
	if e.Tag != "" {
		e.Event = Tag
	}
	e.Before, e.After = CommitID(before), CommitID(after)
	e.Created, e.Deleted = e.Before == "" && e.After != "", e.After == ""
	switch {
	case e.Deleted:
		e.Action = Deleted
	case e.Created:
		e.Action = Created
	default:
		e.Action = Updated
	}
}

// CommitID is id, or "" if it is the zeros that stand for no commit.
func CommitID(id string) string {
	if strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}

// BranchRef is the whole ref of a branch's name, which may be whole already.
func BranchRef(name string) string { return wholeRef(heads, name) }

// TagRef is the whole ref of a tag's name, which may be whole already.
func TagRef(name string) string { return wholeRef(tags, name) }

func wholeRef(prefix, name string) string {
	if name == "" || strings.HasPrefix(name, "refs/") {
		return name
	}
	return prefix + name
}

// SetFiles fills in ChangedFiles from the lists in Commits. complete tells that
// the host sends such lists and that none was cut.
func (e *Event) SetFiles(complete bool) {
	switch {
	case e.Deleted:
		e.Unknown(UnknownDeletedRef)
	case e.Forced != nil && *e.Forced:
		e.Unknown(UnknownForcePush)
	case e.CommitsTruncated:
		e.Unknown(UnknownTruncated)
	case e.Created && len(e.Commits) == 0:
		e.Unknown(UnknownNewRef)
	case !complete:
		e.Unknown(UnknownNotSent)
	default:
		files := []string{}
		for _, c := range e.Commits {
			files = append(files, c.Added...)
			files = append(files, c.Modified...)
			files = append(files, c.Removed...)
		}
		e.Known(files)
	}
}

// Known sets the changed files, which may hold duplicates.
func (e *Event) Known(files []string) {
	slices.Sort(files)
	files = slices.Compact(files)
	if len(files) > MaxFiles {
		e.Unknown(UnknownTooMany)
		return
	}
	if files == nil {
		files = []string{}
	}
	e.ChangedFiles, e.ChangedFilesUnknown = files, ""
}

// Unknown says why the changed files are not known.
func (e *Event) Unknown(why string) { e.ChangedFiles, e.ChangedFilesUnknown = nil, why }
