package pgtest

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// guardScript waits for the end of its input, which comes when the guard is closed or this process has ended, however
// that came about. Then it stops the server whose process id was the last line it read, and removes the directory.
// A server that was killed leaves a segment of System V shared memory behind; line 7 of its postmaster.pid names it.
const guardScript = `
dir=$1 pid= line=
while read -r line; do pid=$line; done
file=$dir/data/postmaster.pid
if [ -n "$pid" ]; then
	kill -QUIT "$pid" 2>/dev/null
	tries=0
	while [ -e "$file" ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
	[ ! -e "$file" ] || kill -KILL "$pid" 2>/dev/null
fi
if [ -e "$file" ]; then
	set -- $(sed -n 7p "$file")
	[ -z "${2:-}" ] || ipcrm -m "$2" 2>/dev/null
fi
rm -rf -- "$dir"
`

// guard is a process that outlives this one, to leave neither a server nor its directory behind. Asking the kernel to
// signal the server when its parent dies would leave the directory, and works on Linux alone.
type guard struct {
	cmd   *exec.Cmd
	input io.WriteCloser
}

func openGuard(dir string) (*guard, error) {
	cmd := exec.Command("sh", "-c", guardScript, "guard", dir)
	cmd.Dir = "/"
	// A signal that the terminal sends to the whole group of the tests must not end the guard.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("open guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("open guard: %w", err)
	}
	return &guard{cmd, input}, nil
}

// watch makes the guard stop this process instead of any before; 0: none.
func (g *guard) watch(pid int) error {
	line := "\n"
	if pid != 0 {
		line = fmt.Sprintf("%d\n", pid)
	}
	if _, err := io.WriteString(g.input, line); err != nil {
		return fmt.Errorf("tell guard of process %d: %w", pid, err)
	}
	return nil
}

// close returns when the directory is removed.
func (g *guard) close() error {
	if err := g.input.Close(); err != nil {
		return fmt.Errorf("close guard: %w", err)
	}
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("close guard: %w", err)
	}
	return nil
}
