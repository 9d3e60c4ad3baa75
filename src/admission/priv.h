/* What the files of this folder share. */
#ifndef CARDINAL_ADMISSION_PRIV_H
#define CARDINAL_ADMISSION_PRIV_H

#include "admission/admission.h"

/* Members nested deeper than this in a review are refused before jansson recurses into them. Pods
 * need some 15. */
#define ADMISSION_DEPTH_MAX 48

/* RFC 4648 section 4, with padding, onto out. */
void admission_base64(struct str bytes, struct buf *out);

#endif
