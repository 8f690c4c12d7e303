package bus

import (
	corev1 "k8s.io/api/core/v1"
)

// podSecurity is what the restricted profile asks for, with the user's fields in
// its place where there are any.
func podSecurity(own *corev1.PodSecurityContext) *corev1.PodSecurityContext {
	yes, id, match := true, int64(nobody), corev1.FSGroupChangeOnRootMismatch
	s := &corev1.PodSecurityContext{}
	if own != nil {
		s = own.DeepCopy()
	}
	fill(&s.RunAsNonRoot, &yes)
	fill(&s.RunAsUser, &id)
	fill(&s.RunAsGroup, &id)
	fill(&s.FSGroup, &id)
	fill(&s.FSGroupChangePolicy, &match)
	fill(&s.SeccompProfile, &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault})
	return s
}

func containerSecurity(own *corev1.SecurityContext) *corev1.SecurityContext {
	yes, no := true, false
	s := &corev1.SecurityContext{}
	if own != nil {
		s = own.DeepCopy()
	}
	fill(&s.AllowPrivilegeEscalation, &no)
	fill(&s.ReadOnlyRootFilesystem, &yes)
	fill(&s.Capabilities, &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}})
	return s
}

func fill[T any](field **T, value *T) {
	if *field == nil {
		*field = value
	}
}
