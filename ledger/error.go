package ledger

// The three ways in which bytes or proofs are refused. Match with errors.Is; messages carry positions and sizes,
// never values.
var (
	// ErrMalformed: the bytes are not the one canonical encoding of anything, or the arguments fit no tree.
	ErrMalformed error = &sentinel{"malformed", "malformed"}
	// ErrUnknownFormat: the version or the suite byte is none this code knows. Nothing is guessed.
	ErrUnknownFormat error = &sentinel{"unknown_format", "unknown format"}
	// ErrMismatch: well-formed, but a hash, a proof or a signature does not hold.
	ErrMismatch error = &sentinel{"verification_failed", "verification failed"}
)

type sentinel struct{ code, text string }

func (s *sentinel) Error() string { return s.text }

// ErrorCode is the stable code of the error.
func (s *sentinel) ErrorCode() string { return s.code }
