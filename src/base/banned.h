/* base/banned.h — included before every file: functions that overrun, lie or share hidden state do not compile. */
#ifndef LEAT_BASE_BANNED_H
#define LEAT_BASE_BANNED_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gmtime localtime asctime ctime gets atoi atol atof
#endif
