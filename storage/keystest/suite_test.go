package keystest_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/storage/keystest"
)

// Every sentence of the contract has a test that Run runs, and every test holds a sentence.
func TestContractNamesEveryTest(t *testing.T) {
	var source []byte
	for _, name := range []string{"../key.go", "../use.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatalf("read contract: %v", err)
		}
		source = append(source, text...)
	}
	var tags []string
	for _, tag := range regexp.MustCompile(`\[keystest\.(\w+)\]`).FindAllSubmatch(source, -1) {
		tags = append(tags, string(tag[1]))
	}
	slices.Sort(tags)
	names := keystest.Names()
	slices.Sort(names)
	if diff := cmp.Diff(slices.Compact(tags), names); diff != "" {
		t.Errorf("tests named in the contract, and tests in the suite (-contract +suite):\n%s", diff)
	}
}
