// An HTTP server with goroutines, timers and a garbage collector at work: GET /N answers with N bytes that N determines.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

var sink [256][]byte

// body is the same everywhere: byte i of answer n is (n*31 + i*7 + i/251) modulo 256.
func body(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(n*31 + i*7 + i/251)
	}
	return b
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println("WRONG", err)
		os.Exit(1)
	}
	var served, ticks atomic.Int64
	go func() { // garbage, and a timer
		for range time.Tick(2 * time.Millisecond) {
			sink[ticks.Add(1)%256] = make([]byte, 50000)
		}
	}()
	results := make(chan int)
	for worker := 0; worker < 8; worker++ { // goroutines that hand work to each other
		go func() {
			for n := 0; ; n++ {
				sum := 0
				for i := 0; i < 1000; i++ {
					sum += i * n
				}
				if sum != 499500*n {
					fmt.Println("WRONG", sum)
					os.Exit(1)
				}
				results <- sum
				time.Sleep(time.Millisecond)
			}
		}()
	}
	go func() {
		for range results {
		}
	}()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil || n < 0 || n > 1<<24 {
			http.Error(w, "a number of bytes, please", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(n))
		w.Write(body(n))
		served.Add(1)
	})
	go http.Serve(listener, nil)
	fmt.Printf("port %d\nready\n", listener.Addr().(*net.TCPAddr).Port)
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			fmt.Println(ticks.Load())
		}
	}()
	io.ReadAll(os.Stdin)
	fmt.Println("SOUND", served.Load())
}
