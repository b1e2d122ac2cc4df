// The smallest Lua interpreter: runs the script named by the first argument, the others are its `arg` table.
#include <stdio.h>
#include <lua5.4/lauxlib.h>
#include <lua5.4/lua.h>
#include <lua5.4/lualib.h>

int main(int argc, char **argv) {
  lua_State *state = luaL_newstate();
  luaL_openlibs(state);
  lua_createtable(state, argc, 0);
  for (int i = 1; i < argc; i++) {
    lua_pushstring(state, argv[i]);
    lua_rawseti(state, -2, i - 1);
  }
  lua_setglobal(state, "arg");
  int failed = argc < 2 || luaL_dofile(state, argv[1]);
  if (failed) fprintf(stderr, "lua: %s\n", argc < 2 ? "no script" : lua_tostring(state, -1));
  lua_close(state);
  return failed;
}
