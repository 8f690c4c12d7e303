// Package e2e walks as a user does through a cluster with real pods: install,
// a bus, an event source, a sensor, a request, an object; edits, secrets,
// removal. It runs on any cluster that KUBECONFIG names:
//
//	make e2e IMAGE=registry.example/signalbox:v1
//
// The cluster has to be able to pull the image (or to have it), and to be the
// user's to install things in: the test takes the namespace signalbox-system
// and the CRDs for itself, and removes them at the end.
package e2e
