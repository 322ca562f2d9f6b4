package office

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/show"
)

// personHelp is what the help of a command about a person says of naming one.
const personHelp = `PERSON is an alias, krid_…, or kind/reference, such as customer/4711. A reference that identifies
directly, such as an e-mail address, does not belong on a command line: customer/- stands for it,
and --ref-file FILE reads it from a file, - from standard input; on a terminal customer/- alone
asks for it. --kind customer says the same.`

// naming is flags that name a person.
type naming struct{ kind, refFile string }

func (n *naming) register(flags *pflag.FlagSet) {
	flags.StringVar(&n.kind, "kind", "", "the `kind` of the person whose reference is read")
	flags.StringVar(&n.refFile, "ref-file", "", "read the reference from this `file`; -: standard input")
}

// personArg takes one argument, or none.
func personArg(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage(cmd, "want PERSON, got %d arguments", len(args))
	}
	return nil
}

// person is who is meant.
func (o *Office) person(cmd *cobra.Command, args []string, n *naming) (*lethev1.Person, error) {
	if len(args) == 1 {
		if kind, ok := strings.CutSuffix(args[0], "/-"); ok && n.kind == "" {
			return o.person(cmd, nil, &naming{kind, n.refFile})
		}
		if n.kind != "" || n.refFile != "" {
			return nil, usage(cmd, "--kind and --ref-file do not go with PERSON")
		}
		return parsePerson(args[0])
	}
	if n.kind == "" {
		return nil, usage(cmd, "want PERSON, or a kind and --ref-file")
	}
	ref, err := o.reference(cmd, n)
	if err != nil {
		return nil, err
	}
	return &lethev1.Person{Kind: n.kind, Ref: ref}, nil
}

// parsePerson reads an alias or kind/reference. What it refuses is in no error.
func parsePerson(text string) (*lethev1.Person, error) {
	kind, ref, ok := strings.Cut(text, "/")
	if !ok {
		ref = text
	}
	switch {
	case event.IsKRID(ref):
		_, err := event.ParseKRID(ref)
		return &lethev1.Person{Krid: ref}, err
	case strings.Contains(text, "@") || ok && event.Code(event.Stream(kind, ref).Validate()) == "personal_reference":
		return nil, event.Invalid("personal_reference", "name person: the reference looks like an e-mail address, and "+
			"command lines are kept and can be seen").
			Hint("write customer/- and give it by --ref-file FILE, or - for standard input")
	case !ok || kind == "" || ref == "":
		return nil, event.Invalid("malformed_person", "name person: want krid_… or kind/reference, such as customer/4711")
	}
	if ref == "-" {
		return nil, event.Invalid("usage", "name person: - stands for a reference from a file, and here none is read").
			Hint("give the alias, krid_…, that lethe subject show --ref-file FILE tells")
	}
	return &lethev1.Person{Kind: kind, Ref: ref}, event.Stream(kind, ref).Validate()
}

// maxReference bounds what is read of a file with a reference.
const maxReference = 4 << 10

// reference reads a reference from where nobody else sees it.
func (o *Office) reference(cmd *cobra.Command, n *naming) (string, error) {
	file := n.refFile
	if file == "" {
		if f, ok := o.Stdin.(*os.File); !ok || show.Width(f) == 0 {
			return "", usage(cmd, "a kind wants --ref-file where no terminal can be asked")
		}
		file = "-"
	}
	return o.Reference("reference of "+n.kind, file)
}

// Reference reads the only line of a file; of - that of standard input, where a terminal is asked for it and does not
// show it.
func (o *Office) Reference(what, file string) (string, error) {
	var text []byte
	var err error
	if f, ok := o.Stdin.(*os.File); file == "-" && ok && show.Width(f) > 0 {
		o.Out.Prompt("%s (not shown): ", what)
		text, err = term.ReadPassword(int(f.Fd()))
		o.Out.Say("")
		if err != nil {
			return "", fmt.Errorf("read reference: %w", err)
		}
	} else if text, err = o.read(file, maxReference); err != nil {
		return "", err
	}
	ref := strings.TrimRight(string(text), "\r\n")
	if ref == "" || strings.ContainsAny(ref, "\r\n") {
		return "", event.Invalid("malformed_person", "read reference: want one line that holds it, and nothing else")
	}
	return ref, nil
}
