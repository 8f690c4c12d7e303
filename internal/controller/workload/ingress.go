package workload

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
)

// ingress leads the host of spec.ingress to the Service, with a path for each
// endpoint; nil if it is not asked for, or nothing is received.
func (w *workload) ingress(svc *corev1.Service) *netv1.Ingress {
	if w.EventSource == nil || w.EventSource.Spec.Ingress == nil || svc == nil {
		return nil
	}
	spec := w.EventSource.Spec.Ingress
	paths := w.ingressPaths(svc)
	if len(paths) == 0 {
		return nil
	}
	meta := w.meta()
	if m := spec.Metadata; m != nil {
		meta.Annotations = maps.Clone(m.Annotations)
		meta.Labels = merged(m.Labels, meta.Labels)
	}
	in := &netv1.Ingress{ObjectMeta: meta, Spec: netv1.IngressSpec{Rules: []netv1.IngressRule{{
		Host:             spec.Host,
		IngressRuleValue: netv1.IngressRuleValue{HTTP: &netv1.HTTPIngressRuleValue{Paths: paths}},
	}}}}
	if spec.ClassName != "" {
		in.Spec.IngressClassName = &spec.ClassName
	}
	if spec.TLSSecret != "" {
		in.Spec.TLS = []netv1.IngressTLS{{Hosts: []string{spec.Host}, SecretName: spec.TLSSecret}}
	}
	return in
}

// ingressPaths has each path once. An endpoint with variables is led to by what
// comes before the first.
func (w *workload) ingressPaths(svc *corev1.Service) []netv1.HTTPIngressPath {
	var out []netv1.HTTPIngressPath
	for _, e := range w.Entries {
		for _, r := range e.Routes {
			port, err := strconv.ParseInt(cmp.Or(first(servedAt(svc, r.Port)), "0"), 10, 32)
			if err != nil || port == 0 {
				continue
			}
			path, kind := r.Path, netv1.PathTypeExact
			if before, _, variable := strings.Cut(path, "{"); variable {
				path, kind = before[:strings.LastIndexByte(before, '/')+1], netv1.PathTypePrefix
			}
			out = append(out, netv1.HTTPIngressPath{Path: path, PathType: &kind, Backend: netv1.IngressBackend{
				Service: &netv1.IngressServiceBackend{Name: svc.Name, Port: netv1.ServiceBackendPort{Number: int32(port)}},
			}})
		}
	}
	slices.SortStableFunc(out, func(a, b netv1.HTTPIngressPath) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(*a.PathType, *b.PathType))
	})
	return slices.CompactFunc(out, func(a, b netv1.HTTPIngressPath) bool { return a.Path == b.Path && *a.PathType == *b.PathType })
}

func first(s string, _ bool) string { return s }
