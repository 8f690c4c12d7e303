package storagegrid

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
)

const (
	token = "t0k3n"
	urn   = "urn:sgws:sns:us-east::events"
	ours  = "https://hooks.example.com/grid"
)

// grid plays StorageGRID's tenant management API with one bucket.
type grid struct {
	*hosttest.Host
	mu        sync.Mutex
	endpoints []endpoint
	xml       string
	busy      bool // endpoints are in use by other buckets
	made      int
}

func newGrid(t *testing.T) *grid {
	g := &grid{}
	g.Host = hosttest.NewHost(t, g.answer)
	return g
}

func (g *grid) state() ([]endpoint, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.endpoints), g.xml
}

func (g *grid) answer(w http.ResponseWriter, r *http.Request, body string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+token {
		hosttest.JSON(w, 401, map[string]any{"message": map[string]any{"text": "unauthorized"}})
		return
	}
	const list, bucket = "/api/v4/org/endpoints", "/api/v4/org/containers/uploads/notification"
	id, at := strings.TrimPrefix(r.URL.Path, list+"/"), -1
	for i, e := range g.endpoints {
		if e.ID == id {
			at = i
		}
	}
	var e endpoint
	switch call := r.Method + " " + r.URL.Path; {
	case call == "GET "+list:
		hosttest.JSON(w, 200, map[string]any{"data": g.endpoints})
	case call == "GET "+bucket:
		hosttest.JSON(w, 200, map[string]any{"data": document{g.xml}})
	case call == "PUT "+bucket:
		var d document
		if json.Unmarshal([]byte(body), &d) != nil || !strings.HasPrefix(d.Notification, "<NotificationConfiguration>") {
			hosttest.JSON(w, 400, nil)
			return
		}
		g.xml = d.Notification
		hosttest.JSON(w, 200, map[string]any{})
	case call == "POST "+list:
		if json.Unmarshal([]byte(body), &e) != nil || slices.ContainsFunc(g.endpoints, func(o endpoint) bool { return o.URN == e.URN }) {
			hosttest.JSON(w, 409, nil)
			return
		}
		g.made++
		e.ID = fmt.Sprint("new", g.made)
		g.endpoints = append(g.endpoints, e)
		hosttest.JSON(w, 201, map[string]any{"data": map[string]any{"id": e.ID}})
	case at < 0:
		hosttest.JSON(w, 404, nil)
	case r.Method == "PUT" && json.Unmarshal([]byte(body), &e) == nil:
		e.ID = id
		g.endpoints[at] = e
		hosttest.JSON(w, 200, map[string]any{})
	case r.Method == "DELETE" && g.busy:
		hosttest.JSON(w, 409, nil)
	case r.Method == "DELETE":
		g.endpoints = slices.Delete(g.endpoints, at, at+1)
		w.WriteHeader(204)
	default:
		w.WriteHeader(405)
	}
}

func TestRegistration(t *testing.T) {
	const other = "<TopicConfiguration><Id>mine</Id><Topic>urn:other</Topic><Event>s3:ObjectRemoved:*</Event><Filter><S3Key/></Filter></TopicConfiguration>"
	const want = "<NotificationConfiguration>" + other + "<TopicConfiguration><Id>example</Id><Topic>" + urn + "</Topic><Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event></TopicConfiguration></NotificationConfiguration>"
	const before = `<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` + other
	foreign := endpoint{ID: "x", DisplayName: "theirs", URI: "https://elsewhere.example.com", URN: "urn:other", AuthType: anonymous}
	wanted := endpoint{DisplayName: "example", URI: ours, URN: urn, AuthType: basic, Basic: &credentials{"hooks", hosttest.Secret}}
	for _, tt := range []struct {
		name string
		have []endpoint
		xml  string
		id   string
	}{
		{"nothing is there", nil, before + "</NotificationConfiguration>", "new1"},
		{"the endpoint is there, open", []endpoint{{ID: "e1", URI: ours, URN: urn, AuthType: anonymous}}, before + "</NotificationConfiguration>", "e1"},
		{"the endpoint is there with another address", []endpoint{{ID: "e1", URI: "https://old.example.com", URN: urn, AuthType: basic}}, before + "</NotificationConfiguration>", "e1"},
		{"the notifications are there, of other events", []endpoint{{ID: "e1", URI: ours, URN: urn, AuthType: basic}}, before + "<TopicConfiguration><Id>old</Id><Topic>" + urn + "</Topic><Event>s3:ObjectRestore:*</Event></TopicConfiguration></NotificationConfiguration>", "e1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGrid(t)
			g.endpoints, g.xml = append([]endpoint{foreign}, tt.have...), tt.xml
			e := sourcetest.NewEnv(t)
			vault(e)
			text := strings.Replace(secured, "{endpoint:", "{url: https://hooks.example.com, endpoint:", 1) +
				"apiURL: " + g.URL + "/api/v4/\nauthToken: {name: grid, key: token}\nbucket: uploads\nevents: ['s3:ObjectRemoved:*', 's3:ObjectCreated:*']\ntopicArn: " + urn + "\ndeleteHookOnFinish: true\n"
			expect := wanted
			expect.ID = tt.id
			settled := func() bool {
				have, xml := g.state()
				return xml == want && len(have) == 2 && fmt.Sprint(have[0]) == fmt.Sprint(foreign) &&
					have[1].Basic != nil && *have[1].Basic == *expect.Basic && have[1].ID == expect.ID && have[1].URI == ours && have[1].AuthType == basic
			}
			for range 2 { // and after a restart
				r := sourcetest.Start(t, Kind, text, e)
				sourcetest.Eventually(t, "the registration", func() bool { return settled() && len(e.Memory.All()) > 0 })
				if err := r.Stop(t); err != nil {
					t.Fatal(err)
				}
			}
			c := decoded(t, text)
			if !Kind.NeedsFinish(c) {
				t.Error("needs no finish")
			}
			if tt.id == "e1" {
				g.busy = true
			}
			if err := Kind.Finish(t.Context(), c, e.Env); err != nil {
				t.Fatal(err)
			}
			have, xml := g.state()
			if xml != "<NotificationConfiguration>"+other+"</NotificationConfiguration>" || (len(have) == 2) != g.busy {
				t.Errorf("after the end there are %+v and %s", have, xml)
			}
		})
	}
}
