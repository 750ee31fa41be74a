/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-error.h"

G_DEFINE_QUARK (corral_error, corral_error)
