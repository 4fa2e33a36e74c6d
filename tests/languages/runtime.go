// Go: raw system calls, goroutines on stacks of its own, preemption by signals, a heap under
// collection, channels, loopback HTTP, nil dereferences by SIGSEGV, child processes.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type node struct {
	left, right *node
	value       int
}

func (n *node) insert(value int) *node {
	if n == nil {
		return &node{value: value}
	}
	if value < n.value {
		n.left = n.left.insert(value)
	} else {
		n.right = n.right.insert(value)
	}
	return n
}

func (n *node) sum() int {
	if n == nil {
		return 0
	}
	return n.value + n.left.sum() + n.right.sum()
}

func faults() {
	caught := 0
	for i := 0; i < 300; i++ {
		func() {
			defer func() {
				if recover() != nil {
					caught++
				}
			}()
			var missing *node
			caught += missing.value
		}()
	}
	fmt.Println("faults", caught)
}

func deep(n int) int {
	var room [200]byte
	room[n%200] = byte(n)
	if n == 0 {
		return int(room[0])
	}
	return deep(n-1) + int(room[n%200])
}

func goroutines() {
	var group sync.WaitGroup
	var total int64
	var guarded int
	var lock sync.Mutex
	pipe := make(chan int, 16)
	for i := 0; i < 1000; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			atomic.AddInt64(&total, int64(deep(i)))
			lock.Lock()
			guarded += i
			lock.Unlock()
			pipe <- i
		}(i)
	}
	go func() { group.Wait(); close(pipe) }()
	received := 0
	for value := range pipe {
		received += value
	}
	fmt.Println("goroutines", total, guarded, received)
}

func preemption() {
	stop := new(int64)
	go func() {
		for x := 0; atomic.LoadInt64(stop) == 0; x++ {
		}
	}()
	for i := 0; i < 10; i++ {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	atomic.StoreInt64(stop, 1)
	fmt.Println("preemption")
}

func heap(count int) {
	var root *node
	x := uint32(7)
	for i := 0; i < count; i++ {
		x = x*1664525 + 1013904223
		root = root.insert(int(x >> 4))
	}
	texts := map[string]int{}
	for i := 0; i < count; i++ {
		texts[strconv.Itoa(i*7919)] = i
	}
	keys := make([]string, 0, len(texts))
	for key := range texts {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	fmt.Println("heap", root.sum(), len(keys), keys[count/2])
}

func server() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %x", r.URL.Path, sha256.Sum256(body))
	}))
	answers := make([]string, 40)
	var group sync.WaitGroup
	for i := range answers {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			response, err := http.Post(fmt.Sprintf("http://%s/%d", listener.Addr(), i), "text/plain",
				bytes.NewReader(bytes.Repeat([]byte{byte(i)}, i*2000)))
			if err != nil {
				panic(err)
			}
			text, _ := io.ReadAll(response.Body)
			response.Body.Close()
			answers[i] = string(text)
		}(i)
	}
	group.Wait()
	fmt.Printf("server %x\n", sha256.Sum256([]byte(fmt.Sprint(answers))))
}

func files() {
	directory, err := os.MkdirTemp(".", "go")
	if err != nil {
		panic(err)
	}
	for i := 0; i < 30; i++ {
		name := fmt.Sprintf("%s/%d", directory, i)
		if err := os.WriteFile(name, bytes.Repeat([]byte("x"), i*3000), 0o600); err != nil {
			panic(err)
		}
	}
	entries, _ := os.ReadDir(directory)
	total := int64(0)
	for _, entry := range entries {
		info, _ := entry.Info()
		total += info.Size()
	}
	os.RemoveAll(directory)
	_, err = os.Stat(directory)
	fmt.Println("files", len(entries), total, os.IsNotExist(err))
}

func children() {
	command := exec.Command("/bin/sh", "-c", "cat; echo more; exit 3")
	command.Stdin = bytes.NewReader([]byte("to the child\n"))
	out, err := command.Output()
	fmt.Printf("children %q %v\n", out, err)
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println("signal", <-caught)
	_, err = exec.Command("/nowhere").Output()
	fmt.Println(err)
}

func main() {
	count := 150000
	if len(os.Args) > 1 {
		count, _ = strconv.Atoi(os.Args[1])
	}
	faults()
	goroutines()
	preemption()
	heap(count)
	server()
	files()
	children()
}
