package host_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/host"
	"github.com/lethe-es/lethe/internal/setting"
)

// certificate makes a certificate for names, and gives the files of it and of its key.
func certificate(t *testing.T, names ...string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	what := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, what, what, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der},
		key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestRefused: no door opens to other machines without TLS and tokens, and who is refused is told what is missing.
func TestRefused(t *testing.T) {
	cert, key := certificate(t, "localhost")
	for _, test := range []struct {
		door       host.Door
		code, says string
	}{
		{host.Door{Listen: ":0"}, "exposed_listener", "TLS is missing; give --tls-cert and --tls-key"},
		{host.Door{Listen: "0.0.0.0:0"}, "exposed_listener", "TLS is missing"},
		{host.Door{Listen: "[::]:0"}, "exposed_listener", "TLS is missing"},
		{host.Door{Listen: "192.0.2.7:0"}, "exposed_listener", "TLS is missing"},
		{host.Door{Listen: "[::ffff:192.0.2.7]:0"}, "exposed_listener", "TLS is missing"},
		{host.Door{Listen: ":0", NoTokens: true}, "exposed_listener", "both are missing"},
		{host.Door{Listen: ":0", NoTokens: true, Cert: cert, Key: key}, "exposed_listener", "tokens are off"},
		{host.Door{Listen: "127.0.0.1:0", Cert: cert}, "usage", "give both --tls-cert and --tls-key"},
		{host.Door{Listen: "127.0.0.1:0", Key: key}, "usage", "give both --tls-cert and --tls-key"},
		{host.Door{Listen: "127.0.0.1:0", Cert: key, Key: key}, "malformed_certificate", "PEM files"},
		{host.Door{Listen: "127.0.0.1:0", Cert: "nowhere", Key: key}, "malformed_certificate", "no such file"},
		{host.Door{Listen: "127.0.0.1"}, "malformed_address", "want HOST:PORT"},
		{host.Door{Listen: "127.0.0.1:http"}, "malformed_address", "port"},
		{host.Door{Listen: "127.0.0.1:65536"}, "malformed_address", "port"},
		{host.Door{Listen: "not_a host:0"}, "malformed_address", "is not known"},
	} {
		s, err := test.door.Open(t.Context())
		if event.Code(err) != test.code || !errors.Is(err, event.ErrInvalid) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: %v", test.door, err)
		}
		if err == nil {
			s.Close()
		}
	}
}

func TestOpen(t *testing.T) {
	cert, key := certificate(t, "*.example.org", "localhost")
	for _, test := range []struct {
		door  host.Door
		where string // what stands before the port
		local bool
	}{
		{host.Door{Listen: "127.0.0.1:0"}, "http://127.0.0.1:", true},
		{host.Door{Listen: "localhost:0", NoTokens: true}, "http://localhost:", true},
		{host.Door{Listen: "127.0.0.1:0", Cert: cert, Key: key}, "https://localhost:", true},
		{host.Door{Listen: ":0", Cert: cert, Key: key}, "https://localhost:", false},
	} {
		s, err := test.door.Open(t.Context())
		if err != nil {
			t.Errorf("%+v: %v", test.door, err)
			continue
		}
		_, port, err := net.SplitHostPort(s.Addr().String())
		if err != nil || s.Address != test.where+port || port == "0" || s.Local != test.local ||
			(s.TLS != nil) != (test.door.Cert != "") {
			t.Errorf("%+v: %s, local %t, %v", test.door, s.Address, s.Local, err)
		}
		if s.TLS != nil && s.TLS.MinVersion < tls.VersionTLS12 {
			t.Errorf("%+v: TLS from version %x on", test.door, s.TLS.MinVersion)
		}
		if s.Local {
			taken := host.Door{Listen: "127.0.0.1:" + port}
			if _, err := taken.Open(t.Context()); !errors.Is(err, event.ErrUnavailable) ||
				!strings.Contains(err.Error(), "address already in use") {
				t.Errorf("a port that is taken: %v", err)
			}
		}
		if err := errors.Join(s.Shut(), s.Shut()); err != nil {
			t.Error(err)
		}
	}
}

// TestAnnounce: the file is there while the door is open and announced, and at no other time.
func TestAnnounce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "address")
	if err := os.WriteFile(file, []byte("of a server that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := host.Door{Listen: "127.0.0.1:0", File: file}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is announced: %v", err)
	}
	if err := s.Announce(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != s.Address+"\n" {
		t.Errorf("announced is %q, %v", text, err)
	}
	if err := s.Shut(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	s, err = host.Door{Listen: "127.0.0.1:0", File: filepath.Join(file, "deeper", "address")}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Announce(), s.Shut()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestLogger(t *testing.T) {
	for _, format := range setting.LogFormats() {
		for i, level := range setting.LogLevels() {
			var out bytes.Buffer
			logger, err := host.Logger(&out, level, format)
			if err != nil {
				t.Fatal(err)
			}
			logger.Debug("a")
			logger.Info("b")
			logger.Warn("c")
			logger.Error("d")
			if lines := strings.Count(out.String(), "\n"); lines != 4-i || (out.String()[0] == '{') != (format == "json") {
				t.Errorf("%s, %s: %s", level, format, &out)
			}
		}
	}
	if _, err := host.Logger(nil, "loud", "text"); err == nil {
		t.Error("there is a level loud")
	}
}

// TestTraces: they go where the environment says, and nowhere else; a collector that is away fails nothing.
func TestTraces(t *testing.T) {
	var log bytes.Buffer
	logger, err := host.Logger(&log, "info", "text")
	if err != nil {
		t.Fatal(err)
	}
	traces, end, err := host.Traces(t.Context(), []string{"PATH=/bin"}, "v1", logger)
	if err != nil || traces != nil {
		t.Errorf("without a collector there are traces: %v", err)
	}
	end()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + gone.Addr().String()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "100")
	traces, end, err = host.Traces(t.Context(), []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + address}, "v1", logger)
	if err != nil || traces == nil {
		t.Fatalf("with a collector there are no traces: %v", err)
	}
	_, span := traces.Tracer("test").Start(t.Context(), "call")
	span.End()
	end()
	if !strings.Contains(log.String(), "traces are lost") {
		t.Errorf("that they are lost is not logged: %s", &log)
	}
}
