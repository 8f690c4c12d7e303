package argoworkflow

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"
)

// Phases of workflows and nodes, and types of nodes.
const (
	phaseRunning   = "Running"
	phasePending   = "Pending"
	phaseSucceeded = "Succeeded"
	phaseSkipped   = "Skipped"
	phaseOmitted   = "Omitted"
	phaseFailed    = "Failed"
	phaseError     = "Error"

	typePod       = "Pod"
	typeContainer = "Container"
	typeHTTP      = "HTTP"
	typePlugin    = "Plugin"
	typeSuspend   = "Suspend"
	typeSkipped   = "Skipped"
	typeRetry     = "Retry"
	typeDAG       = "DAG"
	typeTaskGroup = "TaskGroup"
	typeSteps     = "Steps"
	typeStepGroup = "StepGroup"
)

// node is one node of a workflow's status, with whatever is in it.
type node map[string]any

func (n node) get(key string) string { return text(n, key) }

func (n node) failed() bool { return n.get("phase") == phaseFailed || n.get("phase") == phaseError }

// ids are the node ids in a list, such as children.
func (n node) ids(key string) []string {
	var ids []string
	for _, v := range list(n, key) {
		if id, ok := v.(string); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

func (n node) setIDs(key string, ids []string) {
	if len(ids) == 0 {
		delete(n, key)
		return
	}
	all := make([]any, len(ids))
	for i, id := range ids {
		all[i] = id
	}
	n[key] = all
}

// active tells whether a node waits for somebody to resume it.
func (n node) active() bool { return n.get("type") == typeSuspend && n.get("phase") == phaseRunning }

// nodes of a workflow by their ids.
type nodes map[string]node

// sorted gives the ids in order, so that what is done does not depend on chance.
func (ns nodes) sorted() []string { return slices.Sorted(maps.Keys(ns)) }

// packing is how the nodes are kept in a status.
type packing int

const (
	plainNodes packing = iota
	gzipNodes
	zstdNodes
	brotliNodes
)

// maxNodes bounds what compressed nodes may grow to.
const maxNodes = 64 << 20

// errOffloaded says that the nodes are elsewhere.
var errOffloaded = errors.New("the nodes of its status are in Argo Server's database and not in the cluster; set server")

// readNodes copies the nodes out of a workflow's status.
func readNodes(wf *unstructured.Unstructured) (nodes, packing, error) {
	status := at(wf.Object, "status")
	if packed := text(status, "compressedNodes"); packed != "" {
		raw, how, err := unpack(packed)
		if err != nil {
			return nil, how, fmt.Errorf("read its compressed nodes: %w", err)
		}
		var v map[string]any
		if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &v); err != nil {
			return nil, how, fmt.Errorf("read its compressed nodes: %w", err)
		}
		return asNodes(v), how, nil
	}
	inline := asNodes(at(status, "nodes"))
	if len(inline) == 0 && text(status, "offloadNodeStatusVersion") != "" {
		return nil, plainNodes, errOffloaded
	}
	return inline, plainNodes, nil
}

func asNodes(v map[string]any) nodes {
	all := nodes{}
	for id, n := range v {
		if m, ok := n.(map[string]any); ok {
			all[id] = node(m).copied()
		}
	}
	return all
}

func (n node) copied() node {
	return (&unstructured.Unstructured{Object: n}).DeepCopy().Object
}

// writeNodes puts nodes into a status, packed in the way they were.
func writeNodes(wf *unstructured.Unstructured, all nodes, how packing) error {
	status := at(wf.Object, "status")
	if status == nil {
		status = map[string]any{}
		wf.Object["status"] = status
	}
	delete(status, "nodes")
	delete(status, "compressedNodes")
	delete(status, "offloadNodeStatusVersion")
	if how == plainNodes {
		if len(all) > 0 {
			m := make(map[string]any, len(all))
			for id, n := range all {
				m[id] = map[string]any(n)
			}
			status["nodes"] = m
		}
		return nil
	}
	packed, err := all.pack(how)
	if err == nil {
		status["compressedNodes"] = packed
	}
	return err
}

func unpack(text string) ([]byte, packing, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, plainNodes, err
	}
	var r io.Reader
	how := brotliNodes
	switch {
	case bytes.HasPrefix(raw, []byte{0x1f, 0x8b}):
		how = gzipNodes
		if r, err = gzip.NewReader(bytes.NewReader(raw)); err != nil {
			return nil, how, err
		}
	case bytes.HasPrefix(raw, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		how = zstdNodes
		z, err := zstd.NewReader(bytes.NewReader(raw), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxNodes))
		if err != nil {
			return nil, how, err
		}
		defer z.Close()
		r = z
	default:
		r = brotli.NewReader(bytes.NewReader(raw))
	}
	out, err := io.ReadAll(io.LimitReader(r, maxNodes+1))
	if err == nil && len(out) > maxNodes {
		err = fmt.Errorf("they are larger than %d MiB", maxNodes>>20)
	}
	return out, how, err
}

func (ns nodes) pack(how packing) (string, error) {
	raw, err := json.Marshal(ns)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	var w io.WriteCloser
	switch how {
	case zstdNodes:
		z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return "", err
		}
		w = z
	case brotliNodes:
		w = brotli.NewWriter(&b)
	default:
		w = gzip.NewWriter(&b)
	}
	_, err = w.Write(raw)
	if err = errors.Join(err, w.Close()); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// nodeID is the id of the node of a workflow that has this name.
func nodeID(workflow, name string) string {
	if name == workflow {
		return workflow
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return workflow + "-" + strconv.FormatUint(uint64(h.Sum32()), 10)
}

// below are the ids of all descendants of a node. Loops end.
func (ns nodes) below(id string) map[string]bool {
	seen := map[string]bool{}
	for queue := ns[id].ids("children"); len(queue) > 0; queue = queue[1:] {
		if c := queue[0]; !seen[c] {
			seen[c] = true
			queue = append(queue, ns[c].ids("children")...)
		}
	}
	return seen
}

// parents are, by id, the ids of the nodes that have it as a child.
func (ns nodes) parents() map[string][]string {
	up := map[string][]string{}
	for _, id := range ns.sorted() {
		for _, c := range ns[id].ids("children") {
			up[c] = append(up[c], id)
		}
	}
	return up
}

// ofExitHandler tells whether a node belongs to the exit handler.
func (n node) ofExitHandler(workflow string) bool {
	return strings.HasPrefix(n.get("name"), workflow+".onExit")
}
