// The smallest SQLite shell: opens the database named by the first argument, runs the statements of standard input, prints
// rows with | between columns and errors with their text.
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void run(sqlite3 *database, const char *text) {
  while (*text) {
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database, text, -1, &statement, &text) != SQLITE_OK) {
      printf("error: %s\n", sqlite3_errmsg(database));
      text = strchr(text, ';') ? strchr(text, ';') + 1 : "";
      continue;
    }
    if (!statement) continue;
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
      for (int i = 0, count = sqlite3_column_count(statement); i < count; i++) {
        const unsigned char *value = sqlite3_column_text(statement, i);
        printf("%s%c", value ? (const char *)value : "NULL", i + 1 < count ? '|' : '\n');
      }
    if (result != SQLITE_DONE) printf("error: %s\n", sqlite3_errmsg(database));
    sqlite3_finalize(statement);
  }
}

int main(int argc, char **argv) {
  sqlite3 *database;
  if (argc < 2 || sqlite3_open(argv[1], &database) != SQLITE_OK) return 2;
  size_t size = 0, room = 1 << 20;
  char *text = malloc(room);
  for (size_t count; (count = fread(text + size, 1, room - size - 1, stdin)) > 0;) {
    size += count;
    if (room - size < 2) text = realloc(text, room *= 2);
  }
  text[size] = 0;
  run(database, text);
  printf("changes %d\n", sqlite3_total_changes(database));
  free(text);
  return sqlite3_close(database) != SQLITE_OK;
}
