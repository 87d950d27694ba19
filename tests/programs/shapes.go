// A workload whose stacks are known, in Go: `shapes-go VERB ROUNDS` burns time or makes its memory grow, seven parts in
// verbSeventy and three in verbThirty. It speaks the tests' protocol: a line when it stands at its gate, a byte that
// opens it, an account of the parts as its last line.
package main

import (
	"os"
	"strconv"
	"syscall"
)

const (
	prSetTHPDisable = 41
	page            = 4096
)

// A function that uses no stack would keep no frame pointer.
//
//go:noinline
func turn(part int) int {
	var counts [64]byte
	for i := 0; i < part*10000; i++ {
		counts[i&63]++
	}
	return part + int(counts[0]&0)
}

var kept [][]byte

//go:noinline
func touch(part int) int {
	memory := make([]byte, part*10*page)
	for i := 0; i < len(memory); i += page {
		memory[i] = 1
	}
	kept = append(kept, memory)
	return len(memory)
}

//go:noinline
func burnSeventy() int { return turn(70) }

//go:noinline
func burnThirty() int { return turn(30) }

//go:noinline
func growSeventy() int { return touch(70) }

//go:noinline
func growThirty() int { return touch(30) }

func main() {
	rounds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		os.Exit(1)
	}
	// Of huge pages, one could be another's too.
	syscall.RawSyscall6(syscall.SYS_PRCTL, prSetTHPDisable, 1, 0, 0, 0, 0)
	os.Stdout.WriteString("{}\n")
	os.Stdin.Read(make([]byte, 1))
	seventy, thirty := burnSeventy, burnThirty
	if os.Args[1] == "grow" {
		seventy, thirty = growSeventy, growThirty
	}
	var parts [2]int
	for ; rounds > 0; rounds-- {
		parts[0] += seventy()
		parts[1] += thirty()
	}
	account := `{"seventy":` + strconv.Itoa(parts[0]) + `,"thirty":` + strconv.Itoa(parts[1])
	os.Stdout.WriteString(account + `,"pid":` + strconv.Itoa(os.Getpid()) + "}\n")
}
