// Command lethe is the event store that can forget: one binary for the log, its import and its care.
// Everything it does lives in packages that programs can use as well; `lethe help` lists the commands.
package main

import (
	"os"

	"github.com/lethe-es/lethe/internal/cli"
)

func main() { os.Exit(cli.Main()) }
