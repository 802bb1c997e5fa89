// Reads the analysts' views over HTTP with clickhouse-go, as Grafana's plugin does, and prints a line a query.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

func main() {
	address, password := os.Args[1], os.Args[2]
	for _, method := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionZSTD, clickhouse.CompressionGZIP} {
		if err := read(address, password, method); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n", method, err)
			os.Exit(1)
		}
	}
}

func read(address, password string, method clickhouse.CompressionMethod) error {
	connection, err := clickhouse.Open(&clickhouse.Options{
		Addr:        []string{address},
		Protocol:    clickhouse.HTTP,
		Auth:        clickhouse.Auth{Database: "lpstream", Username: "analyst", Password: password},
		Compression: &clickhouse.Compression{Method: method},
	})
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.Ping(context.Background()); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	rows, err := connection.Query(context.Background(), os.Args[3])
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	if err := print(method, rows); err != nil {
		return err
	}
	_, err = connection.Query(context.Background(), "SELECT nothing FROM lp_windows")
	fmt.Printf("%v error %v\n", method, err)
	if err := external(method, connection); err != nil {
		return fmt.Errorf("external table: %w", err)
	}
	return session(method, connection)
}

// external sends a table with its query.
func external(method clickhouse.CompressionMethod, connection driver.Conn) error {
	table, err := ext.NewTable("ids", ext.Column("number", "UInt64"), ext.Column("word", "String"))
	if err != nil {
		return err
	}
	if err := table.Append(uint64(2), "そば"); err != nil {
		return err
	}
	ctx := clickhouse.Context(context.Background(), clickhouse.WithExternalTable(table))
	var number uint64
	var word string
	if err := connection.QueryRow(ctx, "SELECT number, word FROM ids").Scan(&number, &word); err != nil {
		return err
	}
	fmt.Printf("%v external %d [%s]\n", method, number, word)
	return nil
}

// session inserts into a temporary table, in Native, and reads it.
func session(method clickhouse.CompressionMethod, connection driver.Conn) error {
	settings := clickhouse.Settings{"session_id": fmt.Sprintf("go-%v", method)}
	ctx := clickhouse.Context(context.Background(), clickhouse.WithSettings(settings))
	if err := connection.Exec(ctx, "CREATE TEMPORARY TABLE kept (n UInt64)"); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	batch, err := connection.PrepareBatch(ctx, "INSERT INTO kept")
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	for _, n := range []uint64{1, 2} {
		if err := batch.Append(n); err != nil {
			return err
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	var sum uint64
	if err := connection.QueryRow(ctx, "SELECT sum(n) FROM kept").Scan(&sum); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	fmt.Printf("%v session %d\n", method, sum)
	return nil
}

func print(method clickhouse.CompressionMethod, rows driver.Rows) error {
	defer rows.Close()
	for rows.Next() {
		var word string
		var number uint64
		var names []string
		var at time.Time
		var maybe *int32
		if err := rows.Scan(&word, &number, &names, &at, &maybe); err != nil {
			return fmt.Errorf("scan: %w", err)
		}
		fmt.Printf("%v row %s %d %v %s %v\n", method, word, number, names, at.UTC().Format(time.RFC3339), maybe == nil)
	}
	return rows.Err()
}
