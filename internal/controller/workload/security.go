package workload

import (
	corev1 "k8s.io/api/core/v1"
)

// podSecurity is the restricted profile of the Pod Security Standards, with
// the user's fields in the place of ours.
func (w *workload) podSecurity() *corev1.PodSecurityContext {
	nonRoot, id := true, int64(user)
	s := &corev1.PodSecurityContext{
		RunAsNonRoot:   &nonRoot,
		RunAsUser:      &id,
		RunAsGroup:     &id,
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if ports := w.routePorts(); len(ports) > 0 && ports[0] < 1024 {
		// Nobody but root may listen there otherwise. The profile allows it.
		s.Sysctls = []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}
	}
	u := w.template.SecurityContext
	if u == nil {
		return s
	}
	theirs := u.DeepCopy()
	if theirs.RunAsUser != nil && theirs.RunAsGroup == nil {
		s.RunAsGroup = theirs.RunAsUser
	}
	if theirs.RunAsNonRoot == nil && !asRoot(theirs.RunAsUser) {
		theirs.RunAsNonRoot = s.RunAsNonRoot
	}
	theirs.RunAsUser = or(theirs.RunAsUser, s.RunAsUser)
	theirs.RunAsGroup = or(theirs.RunAsGroup, s.RunAsGroup)
	theirs.SeccompProfile = or(theirs.SeccompProfile, s.SeccompProfile)
	if theirs.Sysctls == nil {
		theirs.Sysctls = s.Sysctls
	}
	return theirs
}

func (w *workload) containerSecurity() *corev1.SecurityContext {
	no, yes := false, true
	s := &corev1.SecurityContext{}
	if u := w.container.SecurityContext; u != nil {
		s = u.DeepCopy()
	}
	if asRoot(s.RunAsUser) && s.RunAsNonRoot == nil {
		s.RunAsNonRoot = &no
	}
	if s.Privileged != nil && *s.Privileged { // excludes the others
		return s
	}
	s.AllowPrivilegeEscalation = or(s.AllowPrivilegeEscalation, &no)
	s.ReadOnlyRootFilesystem = or(s.ReadOnlyRootFilesystem, &yes)
	s.Capabilities = or(s.Capabilities, &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}})
	return s
}

func asRoot(id *int64) bool { return id != nil && *id == 0 }

func or[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}
