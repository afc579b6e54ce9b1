/* Rules 23 to 30: what aio_error and aio_return say, and when. */
#include "check.h"

TEST(same, rule_25_zeroed_control_block_has_status_0) {
    struct aiocb cb;
    memset(&cb, 0, sizeof cb);
    CHECK_EQ(aio_error(&cb), 0);
    CHECK_EQ(aio_return(&cb), 0);
}
