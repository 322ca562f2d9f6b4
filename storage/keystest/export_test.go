package keystest

// Names are the tests that Run runs.
func Names() []string {
	var names []string
	for _, c := range tests() {
		names = append(names, c.name)
	}
	return names
}
