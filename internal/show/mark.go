package show

import "github.com/lethe-es/lethe/event"

// Withheld is what stands in a table for a personal value that is not shown: a sign and a word, or in plain the word.
func (o *Output) Withheld(w *event.Withheld) string {
	sign := ""
	switch w.Reason {
	case event.WithheldSealed:
		sign = "▒ "
	case event.WithheldDenied:
		sign = "✕ "
	case event.WithheldRestricted:
		sign = "⏸ "
	case event.WithheldErased:
		sign = "⌫ "
	case event.WithheldSuperseded:
		sign = "↻ "
	}
	if o.Plain {
		sign = ""
	}
	text := sign + string(w.Reason)
	if w.Receipt != "" {
		text += " (" + w.Receipt + ")"
	}
	return text
}

// UseLogged says that something was opened, and what the record of it says.
func (o *Output) UseLogged(opening event.Opening) {
	if opening.Reason == "" {
		o.Say("use logged: purpose %s", opening.Purpose)
		return
	}
	o.Say("use logged: purpose %s, reason %s", opening.Purpose, opening.Reason)
}
