package boot

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// Programs get the variables from the agent, from PAM or from the library that all of them load: the three lists must be the same.
func TestTrustVariablesAreTheSameEverywhere(t *testing.T) {
	const image = "../../../images/debian-13/"
	environment, err := os.ReadFile(image + "rootfs/etc/environment")
	if err != nil {
		t.Fatal(err)
	}
	library, err := os.ReadFile(image + "trust-before-libasan.c")
	if err != nil {
		t.Fatal(err)
	}
	variables := TrustVariables()
	lines := strings.Fields(string(environment))
	inLibrary := strings.Count(string(library), ", ANCHOR}") + strings.Count(string(library), ", BUNDLE}")
	if len(lines) != len(variables) || inLibrary != len(variables) {
		t.Errorf("the agent has %d variables, /etc/environment %d, the library %d", len(variables), len(lines), inLibrary)
	}
	for name, value := range variables {
		if !slices.Contains(lines, name+"="+value) {
			t.Errorf("/etc/environment lacks %s=%s", name, value)
		}
		macro := map[string]string{anchorFile: "ANCHOR", bundleFile: "BUNDLE"}[value]
		if !strings.Contains(string(library), fmt.Sprintf("{%q, %s}", name, macro)) {
			t.Errorf("the library lacks %s", name)
		}
	}
}
