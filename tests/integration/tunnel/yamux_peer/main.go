// The reference implementation of yamux as the other end of a test's tunnel.
//
// It connects to an address, echoes every stream that it accepts, and does what standard input tells it, one command
// per line, answering each with one line: "ok" or what went wrong.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/hashicorp/yamux"
)

// echo sends everything back, and ends its direction after the other's end.
func echo(stream *yamux.Stream) {
	defer stream.Close()
	io.Copy(stream, stream)
}

func serve(session *yamux.Session) {
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		go echo(stream)
	}
}

// payload differs from stream to stream, and does not repeat with any frame's or window's size.
func payload(seed, size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte((i + seed) % 251)
	}
	return data
}

// transfer sends on a stream of its own, half-closes it, and expects the same back.
func transfer(session *yamux.Session, seed, size int) error {
	stream, err := session.OpenStream()
	if err != nil {
		return err
	}
	sent := payload(seed, size)
	written := make(chan error, 1)
	go func() {
		_, err := stream.Write(sent)
		written <- errors.Join(err, stream.Close())
	}()
	received, err := io.ReadAll(stream)
	if err = errors.Join(err, <-written); err == nil && !bytes.Equal(sent, received) {
		err = fmt.Errorf("%d bytes came back of %d", len(received), len(sent))
	}
	return err
}

func transferAll(session *yamux.Session, streams, size int) error {
	failures := make([]error, streams)
	var group sync.WaitGroup
	for i := range streams {
		group.Add(1)
		go func() {
			defer group.Done()
			failures[i] = transfer(session, i, size)
		}()
	}
	group.Wait()
	return errors.Join(failures...)
}

func obey(session *yamux.Session, command string) error {
	var streams, size int
	switch command {
	case "ping":
		_, err := session.Ping()
		return err
	case "open":
		_, err := session.OpenStream()
		return err
	case "go away":
		return session.GoAway()
	case "close":
		return session.Close()
	}
	if _, err := fmt.Sscanf(command, "transfer %d %d", &streams, &size); err != nil {
		return err
	}
	return transferAll(session, streams, size)
}

func run(role, address string) error {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	begin := yamux.Client
	if role == "server" {
		begin = yamux.Server
	}
	session, err := begin(connection, yamux.DefaultConfig())
	if err != nil {
		return err
	}
	go serve(session)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		if err := obey(session, commands.Text()); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("ok")
		}
	}
	return session.Close()
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
