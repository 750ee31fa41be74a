/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-error.h"

G_DEFINE_QUARK (corral-error-quark, corral_error)
