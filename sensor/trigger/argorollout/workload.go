package argorollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	annotationRevision = "rollout.argoproj.io/revision"
	labelPodHash       = "rollouts-pod-template-hash"
)

// resource is what the API calls the kind.
func (r *reference) resource() (schema.GroupVersionResource, error) {
	if r == nil {
		return schema.GroupVersionResource{}, errors.New("the Rollout has no workloadRef any more")
	}
	gv, err := schema.ParseGroupVersion(r.apiVersion)
	if err == nil {
		switch (schema.GroupKind{Group: gv.Group, Kind: r.kind}) {
		case schema.GroupKind{Group: "apps", Kind: "Deployment"}:
			return deployments, nil
		case schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}:
			return replicaSets, nil
		case schema.GroupKind{Kind: "PodTemplate"}:
			return templates, nil
		}
	}
	return schema.GroupVersionResource{}, fmt.Errorf("workloadRef: a %s of %s has no pod template that is known", r.kind, r.apiVersion)
}

// templatePath is where a resource has its pod template.
func templatePath(r schema.GroupVersionResource) string {
	if r == templates {
		return "/template"
	}
	return "/spec/template"
}

// owner is the object that has the Rollout's pod template.
type owner struct {
	on       string
	resource schema.GroupVersionResource
	object   *unstructured.Unstructured
}

func (w *work) owner(ctx context.Context, v *view) (*owner, error) {
	if v.workload == nil {
		return &owner{onRollout, rollouts, v.object}, nil
	}
	r, err := v.workload.resource()
	if err != nil {
		return nil, err
	}
	o, err := w.api.get(ctx, r, v.workload.name)
	if err != nil {
		return nil, fmt.Errorf("workloadRef %s: %w", v.workload.name, err)
	}
	return &owner{onWorkload, r, o}, nil
}

func (o *owner) template() any { return pointed(o.object.Object, templatePath(o.resource)) }

// container is one of a pod template.
type container struct {
	path, name string
	image      any
	regular    bool
}

// containers of a pod template that lies at path.
func containers(template any, path string) []container {
	var all []container
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		items, _ := field(field(template, "spec"), list).([]any)
		for i, item := range items {
			name, _ := field(item, "name").(string)
			all = append(all, container{fmt.Sprintf("%s/spec/%s/%d", path, list, i), name, field(item, "image"), list == "containers"})
		}
	}
	return all
}

// chosen are those that setImage is about.
func chosen(all []container, name string) ([]container, error) {
	if name == "" {
		var regular []container
		for _, c := range all {
			if c.regular {
				regular = append(regular, c)
			}
		}
		if len(regular) != 1 {
			return nil, fmt.Errorf("it has %d containers: name one in setImage.container, or write \"*\"", len(regular))
		}
		return regular, nil
	}
	var named []container
	for _, c := range all {
		if name == "*" || name == c.name {
			named = append(named, c)
		}
	}
	if len(named) == 0 {
		return nil, fmt.Errorf("it has no container %s", name)
	}
	return named, nil
}

func (w *work) setImage(ctx context.Context, v *view, p *plan) (*idle, error) {
	o, err := w.owner(ctx, v)
	if err != nil {
		return nil, err
	}
	which, err := chosen(containers(o.template(), templatePath(o.resource)), w.container)
	if err != nil {
		return nil, err
	}
	s := step{On: o.on}
	for _, c := range which {
		if c.image == w.image {
			continue
		}
		s.Tests = append(s.Tests, test(c.path+"/name", c.name), test(c.path+"/image", c.image))
		s.Changes = append(s.Changes, add(c.path+"/image", w.image))
	}
	if len(s.Changes) == 0 {
		return &idle{why: "it has the image " + w.image + " already", already: true}, nil
	}
	p.PodHash = "" // that of the new version is not known yet
	p.Steps = []step{s}
	p.Did = w.did("set the image %s of", w.image)
	return nil, nil
}

func (w *work) undo(ctx context.Context, v *view, p *plan) (*idle, error) {
	o, err := w.owner(ctx, v)
	if err != nil {
		return nil, err
	}
	target, revision, err := w.revision(ctx, v, o)
	if err != nil {
		return nil, err
	}
	// Templates of ReplicaSets have the API's defaults and are hard to compare.
	current := v.seen() && target.GetLabels()[labelPodHash] == v.podHash
	if current || same(bare(pointed(target.Object, "/spec/template")), bare(o.template())) {
		return &idle{why: fmt.Sprintf("it is at revision %d already", revision), already: true}, nil
	}
	s := step{On: o.on, Template: target.GetName()}
	tests := []op{test("/status/currentPodHash", pointed(v.object.Object, "/status/currentPodHash"))}
	if s.On == onRollout {
		s.Tests = tests
	} else {
		s.Guard = tests
	}
	p.PodHash = ""
	p.Steps = []step{s}
	p.Did = w.did("put revision %d back in", revision)
	return nil, nil
}

// revision finds the ReplicaSet of the revision to go back to.
func (w *work) revision(ctx context.Context, v *view, o *owner) (*unstructured.Unstructured, int64, error) {
	selector, err := w.selector(v, o)
	if err != nil {
		return nil, 0, err
	}
	list, err := w.api.list(ctx, replicaSets, selector)
	if err != nil {
		return nil, 0, fmt.Errorf("look for revisions: %w", err)
	}
	type known struct {
		n   int64
		set *unstructured.Unstructured
	}
	var all []known
	for i := range list.Items {
		rs := &list.Items[i]
		n, err := strconv.ParseInt(rs.GetAnnotations()[annotationRevision], 10, 64)
		if err == nil && metav1.IsControlledBy(rs, v.object) {
			all = append(all, known{n, rs})
		}
	}
	slices.SortFunc(all, func(a, b known) int { return cmp.Compare(b.n, a.n) })
	if w.order.revision == 0 {
		if len(all) < 2 {
			return nil, 0, errors.New("there is no revision before the current one")
		}
		return all[1].set, all[1].n, nil
	}
	for _, k := range all {
		if k.n == w.order.revision {
			return k.set, k.n, nil
		}
	}
	return nil, 0, fmt.Errorf("there is no revision %d any more", w.order.revision)
}

// selector finds the Rollout's pods. With a workloadRef it may only stand there.
func (w *work) selector(v *view, o *owner) (string, error) {
	for _, object := range []*unstructured.Unstructured{v.object, o.object} {
		m, ok := pointed(object.Object, "/spec/selector").(map[string]any)
		if !ok || len(m) == 0 {
			continue
		}
		var s metav1.LabelSelector
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, &s); err != nil {
			return "", fmt.Errorf("its selector: %w", err)
		}
		return metav1.FormatLabelSelector(&s), nil
	}
	return v.selector, nil
}

// template is the change that puts a revision's pod template back.
func (w *work) template(ctx context.Context, replicaSet string, r schema.GroupVersionResource) (op, error) {
	rs, err := w.api.get(ctx, replicaSets, replicaSet)
	if err != nil {
		return op{}, fmt.Errorf("the revision to go back to: %w", err)
	}
	return op{"replace", templatePath(r), bare(pointed(rs.Object, "/spec/template"))}, nil
}

// bare is a pod template without the label that the controller adds.
func bare(template any) any {
	m, ok := template.(map[string]any)
	if !ok {
		return template
	}
	m = runtime.DeepCopyJSON(m)
	if labels, ok := field(m["metadata"], "labels").(map[string]any); ok {
		delete(labels, labelPodHash)
	}
	if meta, ok := m["metadata"].(map[string]any); ok && meta["creationTimestamp"] == nil {
		delete(meta, "creationTimestamp")
	}
	return m
}
