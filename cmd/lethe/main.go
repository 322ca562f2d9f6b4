// Command lethe is the event store that can forget: one binary for the log, its import and its care.
// Everything it does lives in packages that programs can use as well; `lethe help` lists the commands.
package main

import (
	"os"
	"runtime"

	"github.com/lethe-es/lethe/internal/cli"
)

// heapFloor is memory that is reserved, and never touched, so that it takes address space only. What Lethe keeps on the
// heap is small and what it makes for each event is short-lived: collecting whenever a few megabytes have doubled would
// be a fifth of the work of a scan. With the floor garbage may grow to its size first, whatever GOGC is.
const heapFloor = 64 << 20

func main() {
	floor := make([]byte, heapFloor)
	code := cli.Main()
	runtime.KeepAlive(floor)
	os.Exit(code)
}
