package foreign_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/lethe-es/lethe/api"
	"github.com/lethe-es/lethe/api/openapi"
)

const clientSources = "testdata/typescript"

// TestTypeScript generates a client, checks its types strictly, and lets it talk to a server over every protocol.
func TestTypeScript(t *testing.T) {
	dir := typescript(t)
	d := open(t)
	out := run(t, dir, "node", "dist/client.js", d.URL, d.Token, storeName)
	transports := []string{"connect-json", "connect-get", "connect-binary", "grpc", "grpc-web", "grpc-web-json"}
	for _, transport := range transports {
		for _, check := range []string{"whoami", "append", "read", "conflict", "subscribe", "refusal"} {
			if !strings.Contains(out, "ok "+transport+" "+check+"\n") {
				t.Errorf("over %s the client did not check %s", transport, check)
			}
		}
	}
	if out = run(t, dir, "node", "dist/openapi.js", absolute(t, "../../api/openapi.json")); out != "valid\n" {
		t.Errorf("validate api/openapi.json: %s", out)
	}
}

// typescript is a folder with the compiled client.
func typescript(t *testing.T) string {
	t.Helper()
	modules := packages(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(clientSources)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	generate(t, dir)
	run(t, dir, "node", "node_modules/typescript/bin/tsc", "--project", ".")
	return dir
}

// packages installs what the client is built on, once for each lock file, and gives the folder.
func packages(t *testing.T) string {
	t.Helper()
	lock := read(t, filepath.Join(clientSources, "package-lock.json"))
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append(lock, read(t, filepath.Join(clientSources, "package.json"))...))
	kept := filepath.Join(cache, "lethe-test", "typescript-"+hex.EncodeToString(sum[:8]))
	modules := filepath.Join(kept, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		t.Fatal(err)
	}
	// What is half installed never gets the name under which it is looked for.
	fresh, err := os.MkdirTemp(filepath.Dir(kept), "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	for _, name := range []string{"package.json", "package-lock.json"} {
		if err := os.WriteFile(filepath.Join(fresh, name), read(t, filepath.Join(clientSources, name)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	install(t, fresh)
	if err := os.Rename(fresh, kept); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	return modules
}

func install(t *testing.T, dir string) {
	t.Helper()
	out, err := command(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput()
	if err != nil {
		t.Fatalf("install the packages of the TypeScript client: npm ci: %v; npm's registry must be reachable the first "+
			"time this test runs on a machine\n%s", err, out)
	}
}

// generate runs protoc-gen-es on the sources, as protoc or buf would.
func generate(t *testing.T, dir string) {
	t.Helper()
	files, err := openapi.Compile(t.Context(), api.Sources)
	if err != nil {
		t.Fatal(err)
	}
	request := &pluginpb.CodeGeneratorRequest{Parameter: proto.String("target=ts,import_extension=js")}
	given := map[string]bool{}
	for _, f := range files {
		request.FileToGenerate = append(request.FileToGenerate, f.Path())
		request.ProtoFile = withImports(request.ProtoFile, given, f)
	}
	message, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	plugin := command(t, dir, "node", "node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es")
	plugin.Stdin = bytes.NewReader(message)
	plugin.Stderr = os.Stderr
	answer, err := plugin.Output()
	if err != nil {
		t.Fatalf("generate the client: %v", err)
	}
	var made pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(answer, &made); err != nil || made.GetError() != "" || len(made.File) != len(files) {
		t.Fatalf("generate the client: %v %s, %d files", err, made.GetError(), len(made.File))
	}
	for _, f := range made.File {
		name := filepath.Join(dir, "src", "gen", filepath.FromSlash(f.GetName()))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(f.GetContent()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// withImports adds a file behind everything it imports.
func withImports(
	list []*descriptorpb.FileDescriptorProto, given map[string]bool, f protoreflect.FileDescriptor,
) []*descriptorpb.FileDescriptorProto {
	if given[f.Path()] {
		return list
	}
	given[f.Path()] = true
	for i := range f.Imports().Len() {
		list = withImports(list, given, f.Imports().Get(i).FileDescriptor)
	}
	return append(list, protodesc.ToFileDescriptorProto(f))
}

// TestLockIsExact holds that every package is named by version and content, and none by where one machine found it.
func TestLockIsExact(t *testing.T) {
	var lock struct {
		Packages map[string]struct {
			Version, Integrity, Resolved string
		}
	}
	if err := json.Unmarshal(read(t, filepath.Join(clientSources, "package-lock.json")), &lock); err != nil {
		t.Fatal(err)
	}
	if len(lock.Packages) < 10 {
		t.Fatalf("the lock file has only %d packages", len(lock.Packages))
	}
	for name, p := range lock.Packages {
		if name == "" {
			continue
		}
		if p.Version == "" || !strings.HasPrefix(p.Integrity, "sha512-") {
			t.Errorf("%s has version %q and integrity %q", name, p.Version, p.Integrity)
		}
		if p.Resolved != "" && !strings.HasPrefix(p.Resolved, "https://registry.npmjs.org/") {
			t.Errorf("%s comes from %s", name, p.Resolved)
		}
	}
	ranges := regexp.MustCompile(`": "[\^~<>*].*"`).FindAll(read(t, filepath.Join(clientSources, "package.json")), -1)
	if len(ranges) > 0 {
		t.Errorf("package.json leaves versions open: %q", ranges)
	}
}

// command is a program to be run in a folder.
func command(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; scripts/install-test-tools.sh installs it", err)
	}
	c := exec.CommandContext(t.Context(), path, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	return c
}

// run gives what a program prints; one that fails ends the test.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := command(t, dir, name, args...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, args[0], err, out, errs.Bytes())
	}
	return string(out)
}

func absolute(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
