package workload

import (
	"errors"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller"
)

// mounted are our volumes and where they are.
func (w *workload) mounted(bus *Bus, refs references) ([]corev1.Volume, []corev1.VolumeMount) {
	var volumes []corev1.Volume
	var mounts []corev1.VolumeMount
	add := func(name, at string, source corev1.VolumeSource) {
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: source})
		mounts = append(mounts, corev1.VolumeMount{Name: name, MountPath: at, ReadOnly: at != tmpDir})
	}
	add(manifestsVolume, manifestsDir, corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: deploymentName(w.Kind, w.Name)},
	}})
	if bus.exotic == nil {
		add(busVolume, busDir, corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: controller.BusSecret(bus.Name, w.component),
			Items:      items("", controller.KeyCA, controller.KeyPassword),
		}})
	}
	if len(refs.secrets) > 0 {
		add(secretsVolume, secretsDir, projected(refs.secrets, func(o corev1.LocalObjectReference, i []corev1.KeyToPath) corev1.VolumeProjection {
			return corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: o, Items: i, Optional: optional()}}
		}))
	}
	if len(refs.configMaps) > 0 {
		add(configMapsVolume, configMapsDir, projected(refs.configMaps, func(o corev1.LocalObjectReference, i []corev1.KeyToPath) corev1.VolumeProjection {
			return corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: o, Items: i, Optional: optional()}}
		}))
	}
	if !slices.ContainsFunc(w.container.VolumeMounts, func(m corev1.VolumeMount) bool { return path.Clean(m.MountPath) == tmpDir }) {
		add(tmpVolume, tmpDir, corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
	}
	return volumes, mounts
}

// optional lets a pod start without what it refers to: what needs it fails by
// itself.
func optional() *bool {
	yes := true
	return &yes
}

// projected has a file NAME/KEY for each reference.
func projected(refs map[string][]string, of func(corev1.LocalObjectReference, []corev1.KeyToPath) corev1.VolumeProjection) corev1.VolumeSource {
	p := &corev1.ProjectedVolumeSource{}
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		p.Sources = append(p.Sources, of(corev1.LocalObjectReference{Name: name}, items(name, refs[name]...)))
	}
	return corev1.VolumeSource{Projected: p}
}

func items(folder string, keys ...string) []corev1.KeyToPath {
	var out []corev1.KeyToPath
	for _, k := range keys {
		out = append(out, corev1.KeyToPath{Key: k, Path: path.Join(folder, k)})
	}
	return out
}

// clashes tells what of the user's template cannot stand beside what is ours.
func (w *workload) clashes() error {
	var errs []error
	ours := []string{manifestsVolume, busVolume, secretsVolume, configMapsVolume, tmpVolume}
	var names []string
	for i, v := range w.template.Volumes {
		at := "spec.template.volumes" + v1alpha1.Index(i) + ".name"
		switch {
		case slices.Contains(ours, v.Name):
			errs = append(errs, invalid(at, "%q is the name of a volume that every pod has", v.Name).Hinted("give it another name"))
		case slices.Contains(names, v.Name):
			errs = append(errs, invalid(at, "%q is there twice", v.Name))
		}
		names = append(names, v.Name)
	}
	for i, m := range w.container.VolumeMounts {
		at := "spec.template.container.volumeMounts" + v1alpha1.Index(i)
		if !slices.Contains(names, m.Name) {
			errs = append(errs, invalid(at+".name", "there is no volume %q", m.Name).Hinted("spec.template.volumes has the volumes"))
		}
		if p := path.Clean(m.MountPath); p == home || strings.HasPrefix(p, home+"/") {
			errs = append(errs, invalid(at+".mountPath", "%s holds what every pod needs", home).Hinted("mount it elsewhere"))
		}
	}
	for _, e := range w.Entries {
		for _, r := range e.Routes {
			if r.Port == strconv.Itoa(controller.PortAdmin) {
				errs = append(errs, invalid(e.Path, "port %s serves metrics in every pod", r.Port).Hinted("use another port"))
			}
		}
	}
	return errors.Join(errs...)
}
