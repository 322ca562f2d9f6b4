package foreign_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
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
