// Reads the analysts' views over HTTP with clickhouse-go, as Grafana's plugin does, and prints a line a query.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
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
		DialTimeout: 30 * time.Second,
		Settings:    clickhouse.Settings{"max_execution_time": 20},
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
