#!/usr/bin/env python3
"""Writes an SQL script of about three thousand statements: tables, indices, joins, aggregates, window functions, recursive
queries, transactions, triggers, views, full-text search, JSON and errors: `generate.py FILE [STATEMENTS]`, with another
number of statements in the middle part than 1200."""

import random
import sys

dice = random.Random(21)
WORDS = "glass case window pane light shadow mirror lens prism amber cobalt quartz silica furnace kiln bevel frost".split()

out = open(sys.argv[1], "w")


def say(statement):
    out.write(statement + ";\n")


say("CREATE TABLE maker (id INTEGER PRIMARY KEY, name TEXT UNIQUE, born INT CHECK (born > 1500))")
say("CREATE TABLE piece (id INTEGER PRIMARY KEY, maker INT REFERENCES maker, kind TEXT, price REAL, weight INT, note TEXT)")
say("CREATE TABLE sale (piece INT, day INT, amount REAL, PRIMARY KEY (piece, day)) WITHOUT ROWID")
say("CREATE TABLE log (what TEXT, n INT)")
say("CREATE TRIGGER sold AFTER INSERT ON sale BEGIN INSERT INTO log VALUES ('sold', NEW.piece); END")
say("BEGIN")
for number in range(60):
    say(f"INSERT INTO maker VALUES ({number + 1}, '{dice.choice(WORDS)}-{number}', {1600 + dice.randrange(300)})")
for number in range(900):
    say(f"INSERT INTO piece VALUES ({number + 1}, {dice.randrange(1, 61)}, '{dice.choice(WORDS)}', {dice.randrange(1, 99999) / 100}, "
        f"{dice.randrange(5000)}, '{' '.join(dice.choice(WORDS) for _ in range(dice.randrange(2, 8)))}')")
say("COMMIT")
for number in range(400):
    if number % 100 == 0:
        say("BEGIN")
    say(f"INSERT OR IGNORE INTO sale VALUES ({dice.randrange(1, 901)}, {dice.randrange(365)}, {dice.randrange(100, 90000) / 100})")
    if number % 100 == 99:
        say("COMMIT")
say("CREATE INDEX piece_maker ON piece (maker, kind)")
say("CREATE INDEX piece_price ON piece (price) WHERE price > 100")
say("CREATE VIEW dear AS SELECT p.id, m.name, p.price FROM piece p JOIN maker m ON m.id = p.maker WHERE p.price > 900")
say("ANALYZE")
say("BEGIN")
for number in range(int(sys.argv[2]) if len(sys.argv) > 2 else 1200):
    kind = number % 12
    a, b, word = dice.randrange(1, 900), dice.randrange(1, 900), dice.choice(WORDS)
    say([
        f"SELECT * FROM piece WHERE id = {a}",
        f"SELECT kind, count(*), round(sum(price), 2), min(weight), max(weight) FROM piece WHERE id BETWEEN {min(a, b)} AND {max(a, b)} GROUP BY kind HAVING count(*) > 3 ORDER BY 3 DESC LIMIT 4",
        f"SELECT m.name, p.kind, p.price FROM maker m JOIN piece p ON p.maker = m.id WHERE m.id = {a % 60 + 1} ORDER BY p.price DESC LIMIT 3",
        f"UPDATE piece SET price = price * 1.01, note = note || ' {word}' WHERE id = {a}",
        f"SELECT upper('{word}'), substr(note, 3, 9), length(note), instr(note, 'a'), replace(note, 'e', '_') FROM piece WHERE id = {b}",
        f"SELECT {a} * {b} / 7, {a} % 13, {a} << 3, {a} & {b}, {a} / 7.0, abs(-{a}), round({b} / 3.0, 3), cast({a} / 10.0 AS INT), {a} || '-' || {b}",
        f"DELETE FROM sale WHERE piece = {a} AND day < {b % 100}",
        f"INSERT OR REPLACE INTO sale VALUES ({a}, {b % 365}, {a * b / 100})",
        f"SELECT p.id FROM piece p LEFT JOIN sale s ON s.piece = p.id WHERE s.piece IS NULL AND p.kind LIKE '{word[:2]}%' ORDER BY p.id LIMIT 5",
        f"SELECT coalesce(nullif({a % 3}, 1), 'none'), CASE WHEN {a} > {b} THEN 'more' WHEN {a} = {b} THEN 'same' ELSE 'less' END, typeof({a}.5), hex('{word}'), printf('%05d|%.3f|%s', {a}, {b} / 7.0, '{word}')",
        f"SELECT name FROM maker WHERE id IN (SELECT maker FROM piece WHERE weight > {b * 5}) AND born > {1600 + a % 300} ORDER BY name LIMIT 3",
        f"SELECT date({a * 86400 * 20}, 'unixepoch', '+{b} days'), strftime('%j %w', {b * 86400 * 9}, 'unixepoch'), julianday('2020-02-20')",
    ][kind])
say("COMMIT")
say("SELECT day / 30, count(*), round(sum(amount), 2) FROM sale GROUP BY 1 ORDER BY 1")
say("SELECT id, kind, price, rank() OVER (PARTITION BY kind ORDER BY price DESC), sum(weight) OVER (ORDER BY id ROWS 3 PRECEDING), lag(price, 1, 0) OVER (ORDER BY id) FROM piece LIMIT 60")
say("SELECT ntile(5) OVER (ORDER BY price), first_value(id) OVER w, avg(price) OVER w FROM piece WINDOW w AS (PARTITION BY maker ORDER BY price) LIMIT 30")
say("WITH RECURSIVE f(a, b, n) AS (SELECT 0, 1, 1 UNION ALL SELECT b, a + b, n + 1 FROM f WHERE n < 60) SELECT group_concat(a, ' ') FROM f")
say("WITH RECURSIVE t(x) AS (SELECT 1 UNION SELECT (x * 17 + 3) % 1009 FROM t) SELECT count(*), sum(x) FROM t")
say("SELECT * FROM dear ORDER BY id LIMIT 10")
say("SELECT count(*) FROM log; SELECT count(*) FROM sale; SELECT count(DISTINCT kind), total(price), avg(weight) FROM piece")
say("EXPLAIN QUERY PLAN SELECT * FROM piece WHERE maker = 3 AND kind = 'lens'")
say("SELECT json_extract('{\"a\": [1, 2, {\"b\": \"x\"}]}', '$.a[2].b'), json_group_array(id) FROM maker WHERE id < 6")
say("CREATE VIRTUAL TABLE search USING fts5(note, content=piece, content_rowid=id)")
say("INSERT INTO search(search) VALUES ('rebuild')")
for number in range(12):
    one, two = dice.choice(WORDS), dice.choice(WORDS)
    say(f"SELECT rowid, highlight(search, 0, '<', '>'), round(bm25(search), 6) FROM search WHERE search MATCH '{one} AND {two}' ORDER BY rank, rowid LIMIT 4")
say("CREATE VIRTUAL TABLE place USING rtree(id, x0, x1, y0, y1)")
say("INSERT INTO place SELECT id, weight % 100, weight % 100 + 5, id % 90, id % 90 + 3 FROM piece")
say("SELECT count(*), sum(id) FROM place WHERE x0 > 20 AND x1 < 50 AND y0 > 10 AND y1 < 60")
say("SAVEPOINT s; DELETE FROM piece WHERE id % 2; SELECT count(*) FROM piece; ROLLBACK TO s; RELEASE s; SELECT count(*) FROM piece")
say("INSERT INTO maker VALUES (1, 'twice', 1700)")
say("INSERT INTO maker VALUES (1000, 'old', 1400)")
say("SELECT nothing FROM nowhere")
say("SELECT 1 +")
say("VACUUM; PRAGMA integrity_check; PRAGMA page_count")
out.close()
