package postgres

// SplitForTest is an address without what is ours, and the schema it names.
func SplitForTest(text string) (rest, schema string, err error) {
	a, err := parse(text)
	return a.text, a.schema, err
}
