package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a server may take to be ready; it says when a test has hung, and measures nothing.
const patience = time.Minute

// serve gives a play a server of its own, with an empty store, and ends it after the play.
func serve(env *testscript.Env) error {
	program, err := lookup("lethe", env.Getenv("PATH"))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lethe-e2e-")
	if err != nil {
		return err
	}
	env.Defer(func() { os.RemoveAll(dir) })
	file, log := filepath.Join(dir, "address"), new(strings.Builder)
	cmd := exec.Command(program, "serve", "--no-tokens", "--listen", "127.0.0.1:0", "--create", "--address-file", file,
		"--store", filepath.Join(dir, "data"))
	cmd.Env, cmd.Dir, cmd.Stderr = env.Vars, dir, log
	if err := cmd.Start(); err != nil {
		return err
	}
	env.Defer(func() {
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			env.T().Fatal(fmt.Sprintf("the server ended with %v: %s", err, log))
		}
	})
	address, err := ready(file)
	if err != nil {
		return err
	}
	env.Setenv("LETHE_STORE", address)
	return nil
}

// lookup finds a program in a PATH that is not this process's own.
func lookup(name, path string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if file := filepath.Join(dir, name); exec.Command(file).Err == nil {
			if _, err := os.Stat(file); err == nil {
				return file, nil
			}
		}
	}
	return "", fs.ErrNotExist
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE NAME")
	}
	address, err := ready(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Setenv(args[1], address)
}

// ready waits for the address of a server in a file, and until the server says that it is ready.
func ready(file string) (address string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	caller := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // only to see whether it is up
	}}
	for ctx.Err() == nil {
		var text []byte
		if text, err = os.ReadFile(file); err == nil {
			address = strings.TrimSpace(string(text))
			var ask *http.Request
			if ask, err = http.NewRequestWithContext(ctx, http.MethodGet, address+"/readyz", nil); err != nil {
				return "", err
			}
			var answer *http.Response
			if answer, err = caller.Do(ask); err == nil {
				answer.Body.Close()
				if answer.StatusCode == http.StatusOK {
					return address, nil
				}
			}
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return "", fmt.Errorf("no server is ready at the address in %s: %w", file, errors.Join(ctx.Err(), err))
}

func certificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: certificate CERT KEY")
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	what := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true,
		BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, what, what, &private.PublicKey, private)
	ts.Check(err)
	key, err := x509.MarshalPKCS8PrivateKey(private)
	ts.Check(err)
	for i, block := range []*pem.Block{{Type: "CERTIFICATE", Bytes: cert}, {Type: "PRIVATE KEY", Bytes: key}} {
		ts.Check(os.WriteFile(ts.MkAbs(args[i]), pem.EncodeToMemory(block), 0o600))
	}
}
