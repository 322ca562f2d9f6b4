package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// programs finds the directory of PostgreSQL's programs: the newest that Debian's packages installed, or PATH.
func programs() (string, error) {
	const oldest = 15
	newest, dir := 0, ""
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is well formed
	for _, file := range found {
		bin := filepath.Dir(file)
		if version, err := strconv.Atoi(filepath.Base(filepath.Dir(bin))); err == nil && version > newest {
			newest, dir = version, bin
		}
	}
	if dir == "" {
		file, err := exec.LookPath("postgres")
		if err != nil {
			return "", errors.New("find PostgreSQL: neither in /usr/lib/postgresql nor on PATH; " +
				"run scripts/install-test-tools.sh postgres")
		}
		dir = filepath.Dir(file)
	}
	said, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask postgres for its version: %w", err)
	}
	version := 0
	if _, err := fmt.Sscanf(string(said), "postgres (PostgreSQL) %d", &version); err != nil {
		return "", fmt.Errorf("ask postgres for its version: it says %q: %w", said, err)
	}
	if version < oldest {
		return "", fmt.Errorf("find PostgreSQL: version %d is older than %d; install a newer one", version, oldest)
	}
	return dir, nil
}

// account is whom the server's programs run as: nil for the present user. PostgreSQL refuses to run as root.
func account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(found.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read account %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(found.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read account %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("run PostgreSQL: it refuses to run as root, and there is neither an account postgres " +
		"nor nobody; run the tests as another user")
}

// place is where a server lives: a directory of its own that belongs to the account its programs run as.
type place struct {
	bin string // of PostgreSQL's programs
	dir string
	as  *syscall.Credential
}

func openPlace() (place, error) {
	bin, err := programs()
	if err != nil {
		return place{}, err
	}
	as, err := account()
	if err != nil {
		return place{}, err
	}
	dir, err := os.MkdirTemp("", "lethe-postgres-")
	if err != nil {
		return place{}, fmt.Errorf("make directory: %w", err)
	}
	if as != nil {
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			return place{}, errors.Join(fmt.Errorf("give directory away: %w", err), os.Remove(dir))
		}
	}
	return place{bin, dir, as}, nil
}

// command prepares a program to run in the directory, with nothing of this process's environment that could steer it.
func (p place) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if !filepath.IsAbs(name) {
		name = filepath.Join(p.bin, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as, Setpgid: true}
	return cmd
}

// run lets a program come to its end.
func (p place) run(ctx context.Context, name string, args ...string) error {
	said, err := p.command(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("run %s: %w\n%s", name, err, said)
	}
	return nil
}

// write appends to a file of the directory, as its owner.
func (p place) write(ctx context.Context, file, text string) error {
	cmd := p.command(ctx, "/bin/sh", "-c", `umask 077; cat >>"$1"`, "write", file)
	cmd.Stdin = strings.NewReader(text)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("write %s: %w\n%s", file, err, said)
	}
	return nil
}

// freePort names a port that nobody listens on now. It is below those that systems give to outgoing connections, of
// which one could otherwise sit on it when the server restarts.
func freePort(random io.Reader) (int, error) {
	const low, high = 10000, 32000
	var err error
	for range 100 {
		var b [2]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0, fmt.Errorf("choose port: %w", err)
		}
		port := low + (int(b[0])<<8|int(b[1]))%(high-low)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("choose port: %w", err)
}

// children are the living processes whose parent is pid, and whether pid itself stands still.
func children(pid int) (ids []int, stopped bool, err error) {
	proc := os.DirFS("/proc")
	files, err := fs.Glob(proc, "[0-9]*/stat")
	if err != nil {
		return nil, false, fmt.Errorf("list processes: %w", err)
	}
	if len(files) == 0 {
		return nil, false, errors.New("list processes: /proc has none; run the tests on Linux")
	}
	for _, file := range files {
		line, err := fs.ReadFile(proc, file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// 4711 (the name, which may hold anything) S 1 …: id, name, state, parent
		id, err := strconv.Atoi(strings.TrimSuffix(file, "/stat"))
		if err != nil {
			return nil, false, fmt.Errorf("list processes: %w", err)
		}
		words := strings.Fields(string(line[bytes.LastIndexByte(line, ')')+1:]))
		if len(words) < 2 {
			continue
		}
		switch state := words[0]; {
		case id == pid:
			stopped = state == "T"
		case words[1] == strconv.Itoa(pid) && state != "Z":
			ids = append(ids, id)
		}
	}
	return ids, stopped, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (l *tail) Write(p []byte) (int, error) {
	const most = 16 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if over := len(l.text) - most; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
