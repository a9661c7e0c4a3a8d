package main

import (
	"fmt"
	"runtime"
	"strings"
)

func versionCommand(p *program) *tool {
	return &tool{
		Name:        "version",
		Description: "Prints the version, and with --long what the program was built with.",
		Flags: []option{
			&boolFlag{Name: "long", Aliases: []string{"l"}, Usage: "Go version, system and processor as well"},
			&boolFlag{Name: "json", Usage: "print JSON"},
		},
		Action: func(c *invocation) error {
			if c.Bool("json") {
				return p.printJSON(map[string]string{"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
			}
			fmt.Fprintln(p.stdout, p.versionLine())
			if c.Bool("long") {
				fmt.Fprintf(p.stdout, "%s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			}
			return nil
		},
	}
}

// versionLine is what -v prints, in the shape of nats-server: NAME: vX.Y.Z.
func (p *program) versionLine() string {
	v := version
	if v != "" && v[0] >= '0' && v[0] <= '9' {
		v = "v" + strings.TrimPrefix(v, "v")
	}
	return p.name + ": " + v
}
