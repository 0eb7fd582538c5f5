package results

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInspectCountsWhatAJournalHoldsAndChangesNothing(t *testing.T) {
	dir := journalOf(t, some(12))
	damaged := filepath.Join(dir, "0000000007.log"+damagedExt)
	if err := os.WriteFile(damaged, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		files, err := Inspect(dir)
		if err != nil || len(files) != 2 {
			t.Fatalf("%v, %v", files, err)
		}
		if diff := cmp.Diff(map[string]int{"job": 12}, files[0].Jobs); diff != "" || files[0].Damaged || files[0].Bytes == 0 {
			t.Errorf("%+v", files[0])
		}
		if !files[1].Damaged || files[1].Path != damaged || files[1].Jobs != nil {
			t.Errorf("%+v", files[1])
		}
	}
	if files, err := Inspect(filepath.Join(dir, "nowhere")); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
}
