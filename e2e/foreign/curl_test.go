package foreign_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
)

// curl is how a person asks: with a token and as JSON.
func curl(t *testing.T, d door, args ...string) string {
	t.Helper()
	return run(t, t.TempDir(), "curl", append(asJSON(d), args...)...)
}

func asJSON(d door) []string {
	return []string{"-sS", "-H", "Authorization: Bearer " + d.Token, "-H", "Content-Type: application/json"}
}

// seat is an append of one event to a stream of its own.
func seat(number int) string {
	return fmt.Sprintf(`{"writes": [{"stream": "seat/%d", "events": [{"type": "SeatTaken", "data": {"row": %d}}]}]}`,
		number, number)
}

// following is a curl that reads server-sent events as they come.
type following struct {
	t     *testing.T
	lines *bufio.Scanner
	last  string // id of the last message
}

func follow(t *testing.T, d door, args ...string) *following {
	t.Helper()
	c := command(t, t.TempDir(), "curl", append(append(asJSON(d), "-N"), args...)...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it has ended by itself where the answer did
		_ = c.Wait()
	})
	return &following{t: t, lines: bufio.NewScanner(out)}
}

// next is the row of the next event, whatever else is told in between.
func (f *following) next() int {
	f.t.Helper()
	kind := ""
	for f.lines.Scan() {
		field, value, _ := strings.Cut(f.lines.Text(), ": ")
		switch field {
		case "id":
			f.last = value
		case "event":
			kind = value
		case "data":
			if kind != "event" {
				continue
			}
			var e struct{ Data struct{ Row int } }
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				f.t.Fatal(err)
			}
			return e.Data.Row
		}
	}
	f.t.Fatalf("the stream of events ended: %v", f.lines.Err())
	return 0
}

// TestCurlFollows reads events by curl while they are appended, and comes back where it was.
func TestCurlFollows(t *testing.T) {
	for _, protocol := range []string{"--http1.1", "--http2-prior-knowledge"} {
		t.Run(protocol[2:], func(t *testing.T) {
			d := open(t)
			address := d.URL + "/v1/events?kind=seat"
			for n := range 2 {
				curl(t, d, d.URL+"/lethe.v1.LogService/Append", "-d", seat(n))
			}
			first := follow(t, d, protocol, address)
			if got := []int{first.next(), first.next()}; !cmp.Equal(got, []int{0, 1}) {
				t.Fatalf("the first events are of rows %v", got)
			}
			if _, err := event.ParseCursor(first.last); err != nil {
				t.Errorf("an id is no cursor: %v", err)
			}
			resumed := follow(t, d, protocol, address, "-H", "Last-Event-ID: "+first.last)
			curl(t, d, d.URL+"/lethe.v1.LogService/Append", "-d", seat(2))
			if got := []int{first.next(), resumed.next()}; !cmp.Equal(got, []int{2, 2}) {
				t.Errorf("the next event is of row %d for who stayed, of row %d for who came back", got[0], got[1])
			}
		})
	}
}

// TestCurlPacks sends a request in gzip and has the answer in gzip.
func TestCurlPacks(t *testing.T) {
	d := open(t)
	dir := t.TempDir()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	text := strings.Repeat("lethe ", 10_000)
	_, err := fmt.Fprintf(w, `{"writes": [{"stream": "seat/1", "events": [{"type": "SeatTaken", "data": {"text": %q}}]}]}`, text)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	request := filepath.Join(dir, "request.gz")
	if err := os.WriteFile(request, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	curl(t, d, d.URL+"/lethe.v1.LogService/Append", "-H", "Content-Encoding: gzip", "--data-binary", "@"+request)

	answer := curl(t, d, d.URL+"/lethe.v1.LogService/Read", "-d", `{"stream": "seat/1"}`, "-H", "Accept-Encoding: gzip")
	if len(answer) > len(text)/10 {
		t.Fatalf("an answer with %d bytes of text repeated has %d bytes", len(text), len(answer))
	}
	r, err := gzip.NewReader(strings.NewReader(answer))
	if err != nil {
		t.Fatal(err)
	}
	var read struct{ Events []struct{ Data string } }
	if err := json.NewDecoder(r).Decode(&read); err != nil || len(read.Events) != 1 {
		t.Fatalf("%v, %d events", err, len(read.Events))
	}
	if !strings.Contains(read.Events[0].Data, text) {
		t.Error("what was sent packed came back as something else")
	}
}

// TestCurlSpeaksHTTP2 makes the same call over both versions of HTTP, on one port without TLS.
func TestCurlSpeaksHTTP2(t *testing.T) {
	d := open(t)
	for protocol, version := range map[string]string{"--http1.1": "1.1", "--http2-prior-knowledge": "2"} {
		got := curl(t, d, d.URL+"/lethe.v1.LogService/Head", "-d", "{}", protocol, "-o", "head.json",
			"-w", "%{http_code} %{http_version}")
		if got != "200 "+version {
			t.Errorf("%s answers %s", protocol, got)
		}
	}
}

// TestCurlGets makes a call that only reads as GET, and is refused one that writes.
func TestCurlGets(t *testing.T) {
	d := open(t)
	get := []string{"-G", "-d", "encoding=json", "--data-urlencode", "message={}", "-o", "answer.json",
		"-w", "%{http_code}"}
	if got := curl(t, d, append(get, d.URL+"/lethe.v1.LogService/Head")...); got != "200" {
		t.Errorf("Head as GET: %s", got)
	}
	if got := curl(t, d, append(get, d.URL+"/lethe.v1.StreamService/Expire")...); got == "200" {
		t.Errorf("Expire as GET: %s", got)
	}
}

// TestCurlOpens opens personal data by POST, and is refused as GET, by a policy and a schema that curl sent, too.
func TestCurlOpens(t *testing.T) {
	d := open(t)
	const (
		policy = `{"version": 1, "kinds": {"guest": {"person": true, "normalise": "email"}, "service": {}}, "groups": {"seating": {}},
			"purposes": {"service": {"basis": "contract", "groups": ["seating", "reference"]}},
			"rules": "permit(principal == service::\"waiter\", action == Action::\"open\", resource);"}`
		schema = `{"type": "object", "additionalProperties": false, "properties": {
			"guest": {"type": "string", "x-person": "guest"},
			"wish": {"type": "string", "x-personal": {"group": "seating", "subject": "/guest"}}}, "required": ["guest"]}`
		opening = `"opening": {"actor": "service/waiter", "purpose": "service"}`
	)
	call := func(procedure, body string) string {
		return curl(t, d, d.URL+"/lethe.v1."+procedure, "-d", body)
	}
	bytes64 := base64.StdEncoding.EncodeToString
	call("PolicyService/Set", `{"document": "`+bytes64([]byte(policy))+`"}`)
	call("SchemaService/Push", `{"type": "GuestSeated", "notation": "jsonschema", "text": "`+bytes64([]byte(schema))+`"}`)
	call("LogService/Append", `{"writes": [{"stream": "guest/Ada@Example.org", "events": [
		{"type": "GuestSeated", "data": {"guest": "ada@example.org", "wish": "by the window"}}]}]}`)
	for _, protocol := range []string{"--http1.1", "--http2-prior-knowledge"} {
		for _, address := range []string{"/lethe.v1.LogService/Query", "/v1/events?follow=false"} {
			read := func(body string) string { return curl(t, d, protocol, d.URL+address, "-d", body) }
			sealed := read(`{"filter": [{"types": ["GuestSeated"]}]}`)
			if strings.Contains(sealed, "by the window") || strings.Contains(sealed, "example.org") ||
				!strings.Contains(sealed, "sealed") {
				t.Errorf("%s sealed: %s", address, sealed)
			}
			opened := read(`{"filter": [{"relations": [{"kind": "guest", "id": "ada@example.org"}]}, {"stream": "guest/ada@example.org"}], ` +
				opening + `}`)
			if !strings.Contains(opened, "by the window") || !strings.Contains(opened, "ada@example.org") {
				t.Errorf("%s opened: %s", address, opened)
			}
		}
		for _, get := range []string{
			d.URL + "/lethe.v1.LogService/Query?encoding=json&message=" + url.QueryEscape(`{`+opening+`}`),
			d.URL + "/v1/events?stream=guest/ada@example.org",
		} {
			refused := curl(t, d, protocol, "-w", "%{http_code} %header{allow}", get)
			if !strings.HasSuffix(refused, "405 POST") || !strings.Contains(refused, "use_post") ||
				strings.Contains(refused, "ada@example.org") {
				t.Errorf("GET: %s", refused)
			}
		}
	}
}
