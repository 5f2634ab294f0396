// lib/pq: its own protocol, in database/sql's pool.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lib/pq"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func state(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return fmt.Sprint(err)
}

func main() {
	dsn := fmt.Sprintf("host=%s port=%s dbname=%s user=%s password='%s' sslmode=disable", os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	db, err := sql.Open("postgres", dsn)
	must(err)
	db.SetMaxOpenConns(2)
	var n int
	must(db.QueryRow("select 1 + 1").Scan(&n))
	fmt.Println("simple", n)
	must(db.QueryRow("select $1::int + $2::int", 40, 2).Scan(&n))
	fmt.Println("parameters", n)
	doubles, err := db.Prepare("select $1::int * 2")
	must(err)
	for i := 0; i < 3; i++ {
		must(doubles.QueryRow(i).Scan(&n))
		fmt.Println("prepared", n)
	}
	_, err = db.Exec("truncate app_item")
	must(err)
	tx, err := db.Begin()
	must(err)
	in, err := tx.Prepare(pq.CopyIn("app_item", "id", "word"))
	must(err)
	for i := 0; i < 1100; i++ {
		_, err = in.Exec(i, fmt.Sprintf("copied %d", i))
		must(err)
	}
	_, err = in.Exec()
	must(err)
	must(in.Close())
	must(tx.Commit())
	must(db.QueryRow("select count(*) from app_item").Scan(&n))
	fmt.Println("copy", n)
	tx, err = db.Begin()
	must(err)
	_, err = tx.Exec("insert into app_item values (1, 'twice')")
	fmt.Println("error", state(err))
	_, err = tx.Exec("select 1")
	fmt.Println("then", state(err))
	must(tx.Rollback())
	listener := pq.NewListener(dsn, time.Second, time.Minute, nil)
	must(listener.Listen("news"))
	_, err = db.Exec("notify news, 'hello'")
	must(err)
	fmt.Println("notified", (<-listener.Notify).Extra)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	_, err = db.ExecContext(ctx, "select pg_sleep(60)")
	cancel()
	fmt.Println("cancelled", state(err))
	fmt.Println("idle")
	fmt.Scanln()
	must(doubles.QueryRow(9).Scan(&n))
	var word string
	must(db.QueryRow("select word from app_item where id = $1", 7).Scan(&word))
	fmt.Println("prepared", n, word)
	_, err = db.Exec("notify news, 'again'")
	must(err)
	fmt.Println("notified", (<-listener.Notify).Extra)
}
