package workload

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// routePorts are the ports at which an EventSource receives requests, sorted.
func (w *workload) routePorts() []int32 {
	var out []int32
	for _, e := range w.Entries {
		for _, r := range e.Routes {
			if n, err := strconv.ParseInt(r.Port, 10, 32); err == nil {
				out = append(out, int32(n))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func serviceName(o *manifest.Object) string {
	return apply.Name(o.Name+"-eventsource-svc", apply.MostName)
}

// service has the ports that the manifest names, or those of the routes if it
// names none; nil if there are neither.
func (w *workload) service() *corev1.Service {
	if w.EventSource == nil {
		return nil
	}
	spec := w.EventSource.Spec.Service
	if spec == nil {
		spec = &v1alpha1.Service{}
	}
	ports := slices.Clone(spec.Ports)
	if len(ports) == 0 {
		for _, p := range w.routePorts() {
			ports = append(ports, corev1.ServicePort{Port: p})
		}
	}
	if len(ports) == 0 {
		return nil
	}
	for i := range ports {
		p := &ports[i]
		if p.Protocol == "" { // a key of the list, which apply cannot do without
			p.Protocol = corev1.ProtocolTCP
		}
		if p.TargetPort == (intstr.IntOrString{}) {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
		if p.Name == "" && len(ports) > 1 {
			p.Name = fmt.Sprintf("port-%d", p.Port)
		}
	}
	meta := w.meta()
	meta.Name = serviceName(w.Object)
	if spec.Metadata != nil {
		meta.Annotations = maps.Clone(spec.Metadata.Annotations)
		meta.Labels = merged(spec.Metadata.Labels, meta.Labels)
	}
	return &corev1.Service{
		ObjectMeta: meta,
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: spec.ClusterIP, Ports: ports, Selector: w.selector()},
	}
}

// urls are the addresses in the cluster of everything that receives requests.
func urls(o *manifest.Object, svc *corev1.Service) []v1alpha1.EventURL {
	if svc == nil {
		return nil
	}
	var out []v1alpha1.EventURL
	for _, e := range o.Entries {
		for _, r := range e.Routes {
			port, ok := servedAt(svc, r.Port)
			if !ok {
				continue
			}
			scheme := "http"
			if r.ServerCert != nil {
				scheme = "https"
			}
			host := net.JoinHostPort(svc.Name+"."+o.Namespace+".svc", port)
			out = append(out, v1alpha1.EventURL{Event: e.Event, URL: scheme + "://" + host + r.Path, PublicURL: eventsource.PublicURL(e.Config)})
		}
	}
	return out
}

// servedAt is the port of the Service that leads to a port of the pods.
func servedAt(svc *corev1.Service, target string) (string, bool) {
	for _, p := range svc.Spec.Ports {
		if p.TargetPort.String() != target {
			continue
		}
		if svc.Spec.ClusterIP == corev1.ClusterIPNone { // nothing translates ports
			return target, true
		}
		return strconv.Itoa(int(p.Port)), true
	}
	return "", false
}

// merged has the entries of all, later ones winning.
func merged(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}
