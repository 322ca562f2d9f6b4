package show

import (
	"os"

	"golang.org/x/term"
)

// usual is the width of a terminal that does not tell its own.
const usual = 80

// Width is the width in columns of a stream that is a terminal; 0: it is none.
func Width(stream any) int {
	f, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return width
	}
	return usual
}
