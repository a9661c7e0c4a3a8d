//go:build unix

package transcripts

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/edgebus-io/edgebus/internal/script"
	"github.com/edgebus-io/edgebus/tests/process"
)

var (
	serverFlag = flag.String("server", "", "play against this server only: edgebus or nats-server")
	updateFlag = flag.Bool("update", false, "record: replace expectations that do not hold")
	cutFlag    = flag.Int("cut", 0, "write at most so many bytes at once")
)

func TestMain(m *testing.M) { process.Main(m) }

func TestPlay(t *testing.T) {
	all := readAll(t)
	for _, kind := range process.Both {
		if *serverFlag != "" && *serverFlag != string(kind) {
			continue
		}
		t.Run(string(kind), func(t *testing.T) {
			process.Binary(t, kind)
			for _, transcript := range all {
				t.Run(transcript.Name, func(t *testing.T) { play(t, kind, transcript, *cutFlag) })
			}
		})
	}
}

// TestPlayInPieces plays the grammar with every few bytes in a write of their own.
func TestPlayInPieces(t *testing.T) {
	if *serverFlag != "" || *updateFlag || *cutFlag > 0 {
		t.Skip("plays everything whole, or in the pieces asked for")
	}
	for _, transcript := range readAll(t) {
		if topic, _, _ := strings.Cut(transcript.Name, "/"); topic == "grammar" || topic == "delivery" || topic == "subjects" {
			t.Run(transcript.Name, func(t *testing.T) { play(t, process.Edgebus, transcript, 3) })
		}
	}
}

func play(t *testing.T, kind process.Kind, transcript *script.Transcript, cut int) {
	if transcript.Only != "" && transcript.Only != string(kind) {
		t.Skipf("only for %s: %s", transcript.Only, transcript.OnlyBecause)
	}
	t.Parallel()
	mayEnd := false
	server := process.Start(t, process.Options{Kind: kind, Config: transcript.Config})
	player := script.Player{
		Server: string(kind),
		Dial:   server.Dial,
		Cut:    cut,
		Act: func(word, argument string) error {
			mayEnd = mayEnd || word != "reload"
			return act(server, transcript, word, argument)
		},
	}
	if *updateFlag {
		text, err := player.Record(transcript)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", transcript.Name+".txt"), text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := player.Play(transcript); err != nil {
		t.Fatal(err)
	}
	if !server.Running() && !mayEnd {
		t.Fatal("the server has ended")
	}
}

// act does what a transcript asks of the server's process.
func act(server *process.Server, transcript *script.Transcript, word, argument string) error {
	switch word {
	case "reload":
		config, ok := transcript.Configs[argument]
		if !ok {
			return fmt.Errorf("no configuration %q in the head", argument)
		}
		server.SetConfig(config)
		server.Signal(syscall.SIGHUP)
	case "lameduck":
		server.Signal(syscall.SIGUSR2)
	case "stop":
		server.Signal(syscall.SIGTERM)
	case "kill":
		server.Kill()
	case "start":
		server.Again()
	default:
		return fmt.Errorf("(%s) is nothing that can be done to the server", word)
	}
	return nil
}

func readAll(t *testing.T) []*script.Transcript {
	t.Helper()
	all, err := script.ReadAll(os.DirFS("testdata"))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no transcript in testdata")
	}
	return all
}
