package argocd_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
	"github.com/signalbox-events/signalbox/test/argotest"
)

// server is a lab with Argo CD's API server instead of Kubernetes.
func serverLab(t *testing.T, opts ...argotest.CDOption) (*lab, *argotest.CDServer) {
	t.Helper()
	s := argotest.PlayCDServer(t, opts...)
	l := &lab{t: t, env: triggertest.NewEnv(t), ns: "argocd"}
	l.env.PutSecret("argo", "token", s.Token)
	return l, s
}

func (l *lab) put(s *argotest.CDServer, name string, more ...string) {
	l.t.Helper()
	o := parse(l.t, plain)
	o["metadata"] = map[string]any{"name": name, "namespace": l.ns}
	for _, m := range more {
		over(o, parse(l.t, m))
	}
	s.Put(o)
}

func at(s *argotest.CDServer, config string) string {
	return "{server: {url: '" + s.URL + "', token: {name: argo, key: token}}, " + config[1:]
}

// lastCall wants the newest request to change something to be this one, but for
// the marks, which are different each time.
func lastCall(t *testing.T, s *argotest.CDServer, want ...string) {
	t.Helper()
	calls := s.Calls()
	got := calls[len(calls)-1]
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("the request was\n%s, want in it\n%s", got, w)
		}
	}
}

func TestServerOperations(t *testing.T) {
	l, s := serverLab(t)
	for _, tc := range []struct {
		name, more, config, summary string
		calls                       []string
	}{
		{"sync", "{spec: {syncPolicy: {syncOptions: [A=b]}}}", "{sync: {revision: v1, prune: true, strategy: apply, resources: [{kind: Service, name: x}], retry: {limit: 2}}}", "sync of APP at v1 started", []string{
			"POST /api/v1/applications/APP/sync ", `"revision":"v1"`, `"prune":true`, `"strategy":{"apply":{}}`, `"resources":[{"kind":"Service","name":"x"}]`,
			`"syncOptions":{"items":["A=b"]}`, `"retryStrategy":{"limit":2}`, `{"name":"signalbox","value":"ID"}`, `"appNamespace":"argocd"`, `"project":"default"`,
		}},
		{"revisions", multi, "{sync: {revisions: ['', '2.0.0']}}", "sync of APP at ,2.0.0 started", []string{`"revisions":["2.0.0"]`, `"sourcePositions":[2]`}},
		{"set-and-sync", "{}", "{set: {images: ['a:1']}}", "sync of APP started", []string{"POST /api/v1/applications/APP/sync "}},
		{"set", "{}", "{operation: set, set: {targetRevision: v3}}", "APP changed", []string{
			`PATCH /api/v1/applications/APP {`, `"patch":"{\"metadata\":{\"annotations\":{\"signalbox.dev/firing\":\"ID\"}},\"spec\":{\"source\":{\"targetRevision\":\"v3\"}}}"`, `"patchType":"merge"`,
		}},
		{"refresh", "{}", "{operation: refresh}", "refresh of APP asked for", []string{"GET /api/v1/applications/APP?appNamespace=argocd&project=default&refresh=normal"}},
		{"hard-refresh", "{}", "{operation: hardRefresh}", "refresh of APP asked for", []string{"refresh=hard"}},
		{"rollback", twice, "{operation: rollback, sync: {prune: true}}", "rollback of APP to 4 (aaaaaaa) started", []string{"POST /api/v1/applications/APP/rollback ", `"id":4`, `"prune":true`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l.t = t
			l.put(s, tc.name, twice, tc.more)
			in := l.input(1)
			config := at(s, "{name: "+tc.name+", "+follow+", "+tc.config[1:])
			r := l.fire(l.build(config), in, strings.ReplaceAll(tc.summary, "APP", tc.name))
			for i := range tc.calls {
				tc.calls[i] = strings.NewReplacer("APP", tc.name, "ID", in.ID).Replace(tc.calls[i])
			}
			lastCall(t, s, tc.calls...)
			l.outcome(l.await(t.Context(), config, l.following(in, r)), false, tc.name+": ")
			if tc.name == "set-and-sync" {
				images, _ := s.App(tc.name)["spec"].(map[string]any)["source"].(map[string]any)["kustomize"].(map[string]any)["images"].([]any)
				if len(images) != 1 || images[0] != "a:1" {
					t.Errorf("images are %v", images)
				}
			}
		})
	}
	s.Hold()
	l.t = t
	l.put(s, "busy", "{operation: {sync: {}}}")
	s.App("busy")
	l.isBusy(l.build(at(s, "{name: busy}")), l.input(1), "sync of busy: another operation is in progress")
	config := at(s, "{name: busy, operation: terminate, "+follow+"}")
	r := l.fire(l.build(config), l.input(1), "operation of busy has ended")
	lastCall(t, s, "DELETE /api/v1/applications/busy/operation?appNamespace=argocd&project=default ")
	l.outcome(l.await(t.Context(), config, l.following(l.input(1), r)), false, "busy: Failed, ")
}

func TestServerRefusals(t *testing.T) {
	l, s := serverLab(t)
	l.fire(l.build(at(s, "{selector: team=y, operation: refresh}")), l.input(1), "no application is selected")
	_ = l.fails(l.build(at(s, "{name: none}")), l.input(1), false, "sync of none: 403 Forbidden: permission denied")
	l.put(s, "auto", "{spec: {syncPolicy: {automated: {}}}}", twice)
	_ = l.fails(l.build(at(s, "{name: auto, sync: {revision: v7}}")), l.input(1), false, "sync of auto: auto-sync is on, and Argo CD's server then syncs to nothing but targetRevision: use refresh")
	l.fire(l.build(at(s, "{name: auto, sync: {revision: v7}, disableAutoSync: true}")), l.input(1), "sync of auto at v7 started; auto-sync was turned off")
}

// TestServerSecrets has a server that quotes what it is sent.
func TestServerSecrets(t *testing.T) {
	l, s := serverLab(t)
	l.put(s, "shop")
	l.env.PutSecret("argo", "token", "not-the-token")
	err := l.fails(l.build(at(s, "{name: shop}")), l.input(1), false, "sync of shop: 401 Unauthorized: no session information")
	if strings.Contains(err.Error(), "not-the-token") {
		t.Error(err)
	}
	for _, tc := range []struct {
		answer http.HandlerFunc
		want   string
	}{
		{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte("I got\n" + r.Header.Get("Authorization")))
		}, "sync of shop: 429 Too Many Requests: I got Bearer ***"},
		{func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, "sync of shop: 307 Temporary Redirect: the server sends elsewhere"},
		{func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, "sync of shop: the answer is none of Argo CD's: "},
		{func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }, "sync of shop: the answer is no application"},
		{func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"metadata":{"name":"shop","annotations":7},"spec":[],"status":"x","operation":1}`))
		}, "sync of shop: the answer is no application of Argo CD's"},
	} {
		server := newServer(t, tc.answer)
		tr := l.build("{name: shop, server: {url: '" + server + "', token: {name: argo, key: token}}}")
		err := l.fails(tr, l.input(1), false, tc.want)
		if strings.Contains(tc.want, "429") && trigger.AskedWait(err) != 7*time.Second {
			t.Errorf("the wait is %v", trigger.AskedWait(err))
		}
	}
}

func TestServerRender(t *testing.T) {
	l, s := serverLab(t)
	for config, want := range map[string]string{
		"{name: shop, sync: {revision: v1}}":         `"request":{"method":"POST","url":"URL/api/v1/applications/NAME/sync","authorization":"Bearer ***","body":{"infos":[{"name":"signalbox","value":"ID"},`,
		"{name: shop, operation: terminate}":         `"request":{"method":"DELETE","url":"URL/api/v1/applications/NAME/operation","authorization":"Bearer ***"}}`,
		"{selector: a=b, operation: hardRefresh}":    `"applications":{"namespace":"argocd","selector":"a=b"},"request":{"method":"GET","url":"URL/api/v1/applications/NAME?refresh=hard"`,
		"{name: shop, operation: rollback}":          `"rollback":"previous"}`,
		"{name: shop, set: {images: ['a:{{ 1 }}']}}": `"set":{"images":["a:1"]}`,
	} {
		a, err := l.build(at(s, config)).Render(t.Context(), l.input(1))
		if want = strings.NewReplacer("URL", s.URL, "ID", l.input(1).ID).Replace(want); err != nil || !strings.Contains(string(a.Spec), want) {
			t.Errorf("%v\ngot  %s\nwant %s", err, a.Spec, want)
		}
	}
	if len(s.Calls()) != 0 {
		t.Error(s.Calls())
	}
}
