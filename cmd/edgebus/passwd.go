package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/edgebus-io/edgebus/daemon"
)

const (
	defaultCost = 11
	// What bcrypt takes.
	minCost, maxCost = 4, 31
	maxPassword      = 72
	// maxPasswordLine bounds what is read.
	maxPasswordLine = 1024
)

func passwdCommand(p *program) *tool {
	return &tool{
		Name: "passwd",
		Description: `Prints the bcrypt hash of a password, to be written into a configuration file in place of
the password. The password is asked for on a terminal, and otherwise the first line of
standard input. With --generate it is made up, and printed on standard error.`,
		Flags: []option{
			&boolFlag{Name: "generate", Aliases: []string{"g"}, Usage: "make a password up"},
			&intFlag{Name: "cost", Value: defaultCost, Usage: "`POWER` of two of the work that each check costs, 4 to 31"},
		},
		Action: p.passwd,
	}
}

func (p *program) passwd(c *invocation) error {
	if len(c.Args()) > 0 {
		return usageError("passwd takes no password as argument: others could read it in the list of processes")
	}
	if cost := c.Int("cost"); cost < minCost || cost > maxCost {
		return usageError("--cost is %d and must be from %d to %d; each step doubles the work", cost, minCost, maxCost)
	}
	var password string
	var err error
	switch {
	case c.Bool("generate"):
		password = rand.Text()
	case isTerminal(p.stdin):
		password, err = p.promptTwice()
	default:
		password, err = readLine(p.stdin)
	}
	if err != nil {
		return err
	}
	if password == "" {
		return errors.New("the password is empty; --generate makes one up")
	}
	if len(password) > maxPassword {
		return fmt.Errorf("the password has %d bytes, and bcrypt takes %d at most", len(password), maxPassword)
	}
	hash, err := daemon.HashPassword(password, c.Int("cost"))
	if err != nil {
		return err
	}
	if c.Bool("generate") {
		fmt.Fprintf(p.stderr, "password: %s\n", password)
	}
	fmt.Fprintln(p.stdout, hash)
	return nil
}

func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxPasswordLine)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// promptTwice asks on the terminal without showing what is typed.
func (p *program) promptTwice() (string, error) {
	defer p.hideTyping()()
	// One reader for both lines: the second may have been typed ahead of its prompt.
	in := bufio.NewReaderSize(p.stdin, maxPasswordLine)
	var typed [2]string
	for i, prompt := range []string{"Password: ", "Once more: "} {
		fmt.Fprint(p.stderr, prompt)
		line, err := in.ReadString('\n')
		fmt.Fprintln(p.stderr)
		if err != nil && err != io.EOF {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		typed[i] = strings.TrimRight(line, "\r\n")
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two differ; try again")
	}
	return typed[0], nil
}

// hideTyping switches the terminal's echo off by way of stty, which is on every system that
// has terminals, and returns what switches it on again. So does an interrupt, which must not
// leave the shell behind us without echo.
func (p *program) hideTyping() (restore func()) {
	stty := func(mode string) error {
		run := exec.Command("stty", mode)
		run.Stdin = p.stdin
		return run.Run()
	}
	if stty("-echo") != nil {
		fmt.Fprintln(p.stderr, "What you type will be visible.")
		return func() {}
	}
	interrupted, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-interrupted:
			stty("echo")
			fmt.Fprintln(p.stderr)
			os.Exit(exitFailed)
		case <-done:
		}
	}()
	return func() {
		close(done)
		signal.Stop(interrupted)
		stty("echo")
	}
}
